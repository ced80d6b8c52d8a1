// Tests of what the page knows, without how it looks: its feed with a client that does what it is told. Run by test_client_js.py: node --test.

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';

// The feed looks after its client from time to time, for as long as there is a page.
const every = globalThis.setInterval;
globalThis.setInterval = (...all) => every(...all).unref();

const module = (text) => `data:text/javascript;base64,${Buffer.from(text).toString('base64')}`;
const source = (name) => readFileSync(new URL(`../../../Sources/Server/Dashboard/${name}`, import.meta.url), 'utf8');
const client = module('export class GoLeapAIClient { constructor(o) { globalThis.told = o; this.clockOffset = 250; } start() {} stop() {} async ping() {} subscribe() {} }');
const model = module(source('dashboard-model.js'));
const {Feeds} = await import(module(source('dashboard-feed.js').replace("'./client.js'", `'${client}'`).replace("'./dashboard-model.js'", `'${model}'`)));
const {Model} = await import(model);

const view = {stats: {}, logs: {}, requests: {}};
const event = (id) => ({type: 'log', id, timestamp: '2026-02-05T10:30:00.000Z', data: {level: 'info', message: id}});
const gap = (reason, more = {}) => ({type: 'gap', timestamp: '2026-02-05T10:31:00.000Z', data: {reason, channels: ['logs', 'requests'], ...more}});

/** A feed that a tab looks at, its client's options as `told`. */
class Page {
    constructor() {
        this.feeds = new Feeds();
        this.join();
        this.told = globalThis.told;
    }

    /** A tab more; what it is given at once. */
    join() {
        let snapshot;
        const port = {postMessage: (message) => { if (message.kind === 'snapshot') snapshot = message; }};
        this.feeds.attach(port);
        port.onmessage({data: {kind: 'join', view, token: ''}});
        const known = new Model();
        known.restore(snapshot);
        return known;
    }

    gap(...all) {
        const one = gap(...all);
        this.told.onGap(one.data, one);
    }

    state(name) { this.told.onState({name, reason: ''}); }
}

test('what memory has let go of is no gap where more was asked for than there is', () => {
    const page = new Page();
    page.told.onReplay(['logs', 'requests']);
    page.state('open');
    page.gap('history_expired');
    assert.equal(page.join().gaps.length, 0);
    // Behind an event that was shown, and when it was to go on where it was, it is one.
    page.told.onEvent(event('e-5'));
    page.gap('history_expired');
    assert.equal(page.join().gaps.length, 1);
    page.told.onCaughtUp();
    page.state('waiting');
    page.state('open');
    page.gap('history_expired');
    assert.equal(page.join().gaps.length, 2);
    page.told.onReplay(['logs']);
    page.gap('slow_consumer');
    assert.equal(page.join().gaps.length, 3);
});

test('a gap after a break begins where the connection was lost, by the clock of the daemon', () => {
    const page = new Page();
    page.state('open');
    const before = Date.now() + 250;
    page.state('waiting');
    const after = Date.now() + 250;
    page.state('connecting');
    page.state('open');
    page.gap('restarted');
    page.told.onCaughtUp();
    page.gap('source_lag', {from: '2026-02-05T10:30:30.000Z', until: '2026-02-05T10:30:40.000Z'});
    page.gap('slow_consumer');
    page.gap('restarted', {channels: ['logs']});
    const [broken, lagging, slow, logs] = page.join().gaps;
    assert.ok(broken.from >= before && broken.from <= after);
    assert.equal(broken.until, Date.parse('2026-02-05T10:31:00.000Z'));
    assert.deepEqual([lagging.from, lagging.until], [Date.parse('2026-02-05T10:30:30.000Z'), Date.parse('2026-02-05T10:30:40.000Z')]);
    // From when on is not known, and no request is missing.
    assert.ok(Number.isNaN(slow.from) && Number.isNaN(logs.from));
});

test('events of before are not late', () => {
    const known = new Model();
    known.apply({type: '$state', state: {name: 'open', reason: ''}});
    known.apply({type: '$caughtup'});
    known.apply({...event('e-1'), timestamp: new Date(Date.now() - 100).toISOString()});
    assert.ok(known.lag >= 100 && known.lag < 60_000);
    const lag = known.lag;
    known.apply({type: '$replay', channels: ['logs']});
    known.apply({...event('e-0'), timestamp: new Date(Date.now() - 600_000).toISOString()});
    assert.equal(known.lag, lag);
    known.apply({type: '$caughtup'});
    known.apply({...event('e-2'), timestamp: new Date(Date.now() - 600_000).toISOString()});
    assert.ok(known.lag > lag);
});
