// Tests of client.js with a clock, a network and a daemon that do what they are told. Run by test_client_js.py: node --test.

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';

globalThis.CustomEvent ??= class extends Event {
    constructor(type, {detail} = {}) {
        super(type);
        this.detail = detail;
    }
};
// By its text: node takes a file of this name for something else than a module.
const source = readFileSync(new URL('../../../Sources/Server/Dashboard/client.js', import.meta.url));
const {GoLeapAIClient, CLOSE_CODES, HTTP_VERDICTS, pack, unpack} = await import(`data:text/javascript;base64,${source.toString('base64')}`);

/** Lets promises that are settled go on. */
const settle = async () => { for (let turn = 0; turn < 30; turn++) await null; };

class World {
    constructor(options = {}) {
        Object.assign(this, {time: 1_000_000, timers: new Map(), number: 0, sockets: [], requests: [], random: 0.5, answers: {}, told: []});
        const world = this;
        this.WebSocket = class {
            constructor(url, protocols) {
                Object.assign(this, {url: new URL(url), protocols, sent: [], readyState: 0, closed: null});
                world.sockets.push(this);
            }
            send(data) { this.sent.push(options.encoding === 'msgpack' ? unpack(data.buffer) : JSON.parse(data)); }
            close(code) {
                this.readyState = 3;
                this.closed = code ?? true;
            }
            // What the daemon does.
            open() {
                this.readyState = 1;
                this.onopen?.({});
            }
            say(...messages) {
                for (const message of messages) {
                    const whole = {timestamp: '2026-02-05T10:30:00.000Z', ...message};
                    this.onmessage?.({data: options.encoding === 'msgpack' ? pack(whole).buffer : JSON.stringify(whole)});
                }
            }
            async end(code, reason = '') {
                this.readyState = 3;
                this.onclose?.({code, reason});
                await settle();
            }
            asked(type) { return this.sent.filter((message) => message.type === type); }
            answer(...events) {
                const {id, data} = this.asked('subscribe').at(-1);
                this.say({type: 'ack', id, data: {channels: data.channels}}, ...events);
            }
        };
        const tell = (what) => (...all) => this.told.push([what, ...all]);
        this.client = new GoLeapAIClient({
            url: 'http://gateway.test/live/', channels: ['logs'], onEvent: tell('event'), onGap: tell('gap'), onState: tell('state'), onReplay: tell('replay'),
            onCaughtUp: tell('caughtup'), onProblem: tell('problem'), ...options,
            environment: {
                WebSocket: this.WebSocket, now: () => this.time, random: () => this.random,
                fetch: async (url, {method, headers = {}}) => {
                    this.requests.push({url: String(url), method, authorization: headers.Authorization});
                    const answer = this.answers[`${method} ${new URL(url).pathname}`];
                    const {status, body = {}, retryAfter} = typeof answer === 'function' ? answer() : answer ?? {status: 0};
                    if (!status) throw new TypeError('no network');
                    return {status, json: async () => body, headers: {get: (name) => name === 'Retry-After' ? retryAfter ?? null : null}};
                },
                setTimeout: (run, milliseconds) => {
                    this.timers.set(++this.number, {at: this.time + milliseconds, run});
                    return this.number;
                },
                clearTimeout: (timer) => this.timers.delete(timer),
            },
        });
    }

    get socket() { return this.sockets.at(-1); }
    get state() { return this.client.state; }
    /** What was told of this kind. */
    heard(what) { return this.told.filter(([kind]) => kind === what).map(([, ...all]) => all[0]); }
    get ids() { return this.heard('event').map(({id}) => id); }

    async pass(milliseconds) {
        const end = this.time + milliseconds;
        for (;;) {
            const next = [...this.timers].filter(([, {at}]) => at <= end).sort((a, b) => a[1].at - b[1].at)[0];
            if (!next) break;
            this.timers.delete(next[0]);
            this.time = Math.max(this.time, next[1].at);
            next[1].run();
            await settle();
        }
        this.time = end;
    }

    /** Starts, and is subscribed. */
    async connected() {
        if (this.state.name === 'idle') this.client.start();
        await settle();
        this.socket.open();
        if (this.client.channels.length) this.socket.answer();
        return this;
    }

    /** The delay until the next attempt. */
    get delay() { return this.state.retryAt - this.time; }
}

const log = (id, message = '') => ({type: 'log', id, data: {level: 'info', message}});

test('connects, subscribes with filters, and tells events in every way', async () => {
    const world = await new World({filters: {logs: {level: 'warn'}, stats: {window: '1h'}}, history: 10}).connected();
    assert.equal(world.socket.url.href, 'ws://gateway.test/live/ws?heartbeat=json&welcome=true');
    assert.deepEqual(world.socket.protocols, ['goleapai.v1.json']);
    assert.equal(world.requests.length, 0);
    assert.deepEqual(world.socket.asked('subscribe').map(({data}) => data), [{channels: ['logs'], filters: {logs: {level: 'warn'}}, history: 10}]);
    assert.deepEqual(world.heard('replay'), [['logs']]);
    assert.equal(world.state.name, 'open');
    const listened = [];
    world.client.addEventListener('log', ({detail}) => listened.push(detail.message));
    world.client.addEventListener('caughtup', ({detail}) => listened.push(detail));
    world.socket.say(log('e-3', 'x'), {type: 'caught_up', data: {position: 'e-4'}}, {type: 'deploy', id: 'e-5', channel: 'logs', data: 1});
    assert.deepEqual(listened, ['x', 'e-4']);
    assert.deepEqual(world.ids, ['e-3', 'e-5']);
    assert.equal(world.client.position, 'e-5');
});

test('each type has its callback', async () => {
    const got = [];
    const world = await new World({
        onStats: (data, event) => got.push([data, event.type]), onProvider: (data, event) => got.push([data, event.type]),
        onRequest: (data, event) => got.push([data, event.type]), onLog: (data, event) => got.push([data, event.type]),
    }).connected();
    ['stats_update', 'provider_status', 'request', 'log'].forEach((type, index) => world.socket.say({type, data: index}));
    assert.deepEqual(got, [[0, 'stats_update'], [1, 'provider_status'], [2, 'request'], [3, 'log']]);
});

for (const [code, {verdict, reason}] of Object.entries(CLOSE_CODES)) {
    test(`close code ${code} (${reason}): ${verdict}`, async () => {
        const world = await new World().connected();
        world.random = 0.999;
        await world.socket.end(Number(code));
        const waits = world.state.name === 'waiting';
        assert.equal(world.state.code, Number(code));
        assert.equal(world.state.reason, reason);
        switch (verdict) {
        case 'stop': case 'token': {
            assert.equal(world.state.name, 'stopped');
            assert.equal(world.state.needsToken, verdict === 'token' || code === '4500');
            await world.pass(3_600_000);
            assert.equal(world.sockets.length, 1);
            world.client.start();
            await settle();
            return assert.equal(world.sockets.length, 2);
        }
        case 'now': assert.ok(waits && world.delay <= 1000); break;
        case 'drain': assert.ok(waits && world.delay > 4900 && world.delay <= 5000); break;
        case 'backoff': assert.ok(waits && world.delay <= 500); break;
        case 'backoffDoubled': assert.ok(waits && world.delay > 500 && world.delay <= 1000); break;
        default: assert.fail(`no such verdict: ${verdict}`);
        }
        await world.pass(world.delay);
        assert.equal(world.sockets.length, 2);
    });
}

test('the delay that drain tells is obeyed', async () => {
    const world = await new World().connected();
    world.socket.say(log('e-1'), {type: 'drain', data: {reconnect_in_ms: 2713, position: 'e-9'}});
    await world.socket.end(1001);
    assert.equal(world.delay, 2713);
    await world.pass(2712);
    assert.equal(world.sockets.length, 1);
    await world.pass(1);
    world.socket.open();
    assert.equal(world.socket.asked('subscribe')[0].data.since, 'e-9');
});

test('backoff doubles from 0.5 s to 20 s with full jitter, and begins anew after 30 s of health', async () => {
    const world = await new World().connected();
    world.random = 0.9999999;
    const most = [];
    await world.socket.end(1006);
    for (let round = 0; round < 9; round++) {
        most.push(Math.round(world.delay));
        await world.pass(world.delay);
        await world.socket.end(1006);
    }
    assert.deepEqual(most, [500, 1000, 2000, 4000, 8000, 16000, 20000, 20000, 20000]);
    world.random = 0;
    await world.pass(20_000);
    assert.ok(world.sockets.length > 10);
    // A connection that does not live for 30 s changes nothing.
    world.random = 0.9999999;
    await world.connected();
    await world.pass(29_000);
    await world.socket.end(1006);
    assert.equal(Math.round(world.delay), 20000);
    await world.pass(world.delay);
    await world.connected();
    await world.pass(30_000);
    await world.socket.end(1006);
    assert.equal(Math.round(world.delay), 500);
});

test('goes on where it was: ids, positions of ping, pong, caught_up and gap', async () => {
    const places = [
        [log('e-7'), 'e-7'], [{type: 'ping', data: {position: 'e-8'}}, 'e-8'], [{type: 'pong', data: {position: 'e-9'}}, 'e-9'],
        [{type: 'gap', data: {reason: 'slow_consumer', channels: ['logs'], after: 'e-9', resume: 'e-12', dropped: 3}}, 'e-12'],
        [{type: 'gap', id: 'e-13', data: {reason: 'source_lost', channels: ['logs']}}, 'e-13'], [{type: 'caught_up', data: {position: 'e-14'}}, 'e-14'],
        [{type: 'pong', data: {position: 'e-2'}}, 'e-14'], [{type: 'ping', data: {}}, 'e-14'],
    ];
    const world = await new World({history: 5}).connected();
    for (const [message, place] of places) {
        world.socket.say(message);
        await world.socket.end(1006);
        await world.pass(world.delay);
        await world.connected();
        assert.deepEqual(world.socket.asked('subscribe')[0].data, {channels: ['logs'], filters: {}, since: place}, JSON.stringify(message));
    }
    assert.equal(world.heard('gap').length, 2);
    // What was shown stays: nothing is replayed but what is new.
    assert.deepEqual(world.heard('replay'), [['logs']]);
});

test('positions before the subscription is answered settle nothing', async () => {
    const world = await new World().connected();
    world.socket.say(log('e-7'));
    await world.socket.end(1006);
    await world.pass(world.delay);
    world.socket.open();
    world.socket.say({type: 'welcome', data: {heartbeat_interval: 30, position: 'e-90'}}, {type: 'ping', data: {position: 'e-90'}});
    await world.socket.end(1006);
    await world.pass(world.delay);
    world.socket.open();
    assert.equal(world.socket.asked('subscribe')[0].data.since, 'e-7');
});

test('a replay that breaks off goes on behind the last event that came', async () => {
    const world = await new World({history: 50}).connected();
    world.socket.say(log('e-4'), log('e-6'));
    await world.socket.end(1006);
    await world.pass(world.delay);
    await world.connected();
    assert.deepEqual(world.socket.asked('subscribe')[0].data, {channels: ['logs'], filters: {}, since: 'e-6'});
    world.socket.say(log('e-7'), {type: 'caught_up', data: {position: 'e-7'}});
    assert.deepEqual(world.ids, ['e-4', 'e-6', 'e-7']);
});

test('after a restart ids of another epoch count', async () => {
    const world = await new World().connected();
    world.socket.say(log('e-700'));
    await world.socket.end(1006);
    await world.pass(world.delay);
    await world.connected();
    world.socket.say({type: 'gap', data: {reason: 'restarted', channels: ['logs'], after: 'e-700', resume: 'f-0'}}, log('f-1'), log('f-2'));
    assert.equal(world.client.position, 'f-2');
    assert.deepEqual(world.ids, ['e-700', 'f-1', 'f-2']);
    assert.equal(world.client.doubles, 0);
});

test('an id that is still to come there means nothing: the place is the one that is told', async () => {
    const world = await new World({since: 'e-900'}).connected();
    world.socket.say({type: 'gap', data: {reason: 'restarted', channels: ['logs'], after: 'e-900', resume: 'e-2'}}, log('e-3'), log('e-4'));
    assert.equal(world.client.position, 'e-4');
    await world.socket.end(1006);
    await world.pass(world.delay);
    await world.connected();
    world.socket.say({type: 'gap', data: {reason: 'restarted', channels: ['logs'], after: 'e-4', resume: 'e-0'}}, log('e-1'));
    assert.equal(world.client.position, 'e-1');
    assert.deepEqual(world.ids, ['e-3', 'e-4', 'e-1']);
});

test('an event that comes twice is told once, and counted', async () => {
    const world = await new World().connected();
    world.socket.say(log('e-1'), log('e-2'), log('e-2'), log('e-1'), log('e-10'), {type: 'stats_update', data: {}}, {type: 'stats_update', data: {}});
    assert.deepEqual(world.ids, ['e-1', 'e-2', 'e-10', undefined, undefined]);
    assert.equal(world.client.doubles, 2);
});

test('other filters with events of before: on the same connection, one replay at a time, and again where it broke off', async () => {
    const world = await new World({channels: ['logs', 'requests'], history: 5}).connected();
    world.client.subscribe({channels: ['logs'], filters: {logs: {level: 'error'}}, history: 20});
    world.client.subscribe({channels: ['requests'], filters: {requests: {only_errors: true}}, history: 30});
    assert.equal(world.socket.asked('subscribe').length, 1);
    world.socket.say(log('e-50'), {type: 'caught_up', data: {position: 'e-60'}});
    const [, second] = world.socket.asked('subscribe');
    assert.deepEqual(second.data, {channels: ['logs', 'requests'], filters: {logs: {level: 'error'}, requests: {only_errors: true}}, history: 30});
    world.socket.answer(log('e-40'), log('e-41'));
    assert.deepEqual(world.heard('replay'), [['logs', 'requests'], ['logs', 'requests']]);
    assert.equal(world.client.position, 'e-60');
    await world.socket.end(1006);
    await world.pass(world.delay);
    await world.connected();
    assert.equal(world.socket.asked('subscribe')[0].data.since, 'e-60');
    world.socket.say({type: 'caught_up', data: {position: 'e-61'}});
    assert.equal(world.socket.asked('subscribe')[1].data.history, 30);
    world.socket.answer(log('e-40'), log('e-41'), {type: 'caught_up', data: {position: 'e-62'}}, log('e-63'));
    assert.deepEqual(world.ids, ['e-50', 'e-40', 'e-41', 'e-40', 'e-41', 'e-63']);
    assert.equal(world.heard('replay').length, 3);
});

test('channels and filters come and go without a replay', async () => {
    const world = await new World().connected();
    world.client.subscribe({channels: ['stats'], filters: {stats: {window: '1m'}}});
    world.client.unsubscribe(['logs']);
    assert.deepEqual(world.socket.asked('subscribe')[1].data, {channels: ['stats'], filters: {stats: {window: '1m'}}});
    assert.deepEqual(world.socket.asked('unsubscribe')[0].data, {channels: ['logs']});
    assert.deepEqual(world.client.channels, ['stats']);
});

test('life: pings are answered; 70 s of silence is the end; a probe takes 5 s', async () => {
    const world = await new World().connected();
    world.socket.say({type: 'ping', data: {}});
    assert.equal(world.socket.asked('pong').length, 1);
    await world.pass(60_000);
    world.socket.say({type: 'ping', data: {}});
    await world.pass(69_000);
    assert.equal(world.state.name, 'open');
    await world.pass(1_000);
    assert.equal(world.state.reason, 'no sign of life');
    assert.equal(world.sockets[0].readyState, 3);
    await world.pass(500);
    await world.connected();
    const pings = world.socket.asked('ping').length;
    world.client.probe();
    assert.equal(world.socket.asked('ping').length, pings + 1);
    await world.pass(1000);
    world.socket.say({type: 'pong', id: world.socket.asked('ping').at(-1).id, data: {}});
    await world.pass(10_000);
    assert.equal(world.state.name, 'open');
    world.client.probe();
    await world.pass(5_000);
    assert.equal(world.state.reason, 'no answer');
});

test('a longer heartbeat makes more patient', async () => {
    const world = await new World().connected();
    world.socket.say({type: 'welcome', data: {heartbeat_interval: 120}});
    await world.pass(100_000);
    assert.equal(world.state.name, 'open');
    await world.pass(200_000);
    assert.notEqual(world.sockets[0].readyState, 1);
});

test('while it waits, being needed again connects at once', async () => {
    const world = await new World().connected();
    await world.socket.end(1006);
    world.client.probe();
    await settle();
    assert.equal(world.sockets.length, 2);
});

test('ping tells round trip and the difference of the clocks', async () => {
    const world = await new World().connected();
    const answer = world.client.ping();
    world.time += 40;
    world.socket.say({type: 'pong', id: world.socket.asked('ping').at(-1).id, timestamp: new Date(world.time + 480).toISOString(), data: {}});
    assert.equal(await answer, 40);
    assert.equal(world.client.clockOffset, 500);
});

test('a token gets a ticket, and stands in no address', async () => {
    for (const [token, authorization] of [['aaa.bbb.ccc', 'Bearer aaa.bbb.ccc'], ['gla_key', 'ApiKey gla_key']]) {
        const world = new World({token});
        world.answers['POST /live/ws/ticket'] = {status: 200, body: {ticket: 'word', expires_in: 30}};
        await world.connected();
        assert.deepEqual(world.requests, [{url: 'http://gateway.test/live/ws/ticket', method: 'POST', authorization}]);
        assert.equal(world.socket.url.searchParams.get('ticket'), 'word');
        assert.ok(!world.socket.url.href.includes(token));
        await world.socket.end(1006);
        await world.pass(world.delay);
        assert.equal(world.requests.length, 2);
    }
});

for (const [status, verdict] of Object.entries({...HTTP_VERDICTS, 500: 'backoff', 0: 'backoff'})) {
    test(`an answer of ${status} to the ticket, and in place of a WebSocket: ${verdict}`, async () => {
        for (const token of ['a.b.c', undefined]) {
            const world = new World({token});
            const answer = {status: Number(status), body: {error: 'says why'}};
            Object.assign(world.answers, {'POST /live/ws/ticket': answer, 'GET /live/ws': answer});
            world.client.start();
            await settle();
            if (!token) await world.socket.end(1006);
            assert.equal(world.state.name, verdict === 'backoff' ? 'waiting' : 'stopped');
            assert.equal(world.state.needsToken, verdict === 'token');
            assert.equal(world.state.reason, status === '0' ? 'the server cannot be reached' : 'says why');
            assert.equal(world.state.code, Number(status) || undefined);
        }
    });
}

test('Retry-After is the least', async () => {
    const world = new World({token: 'a.b.c'});
    world.answers['POST /live/ws/ticket'] = {status: 503, retryAfter: '30'};
    world.client.start();
    await settle();
    assert.ok(world.delay >= 30_000 && world.delay <= 31_000);
});

test('a server that answers but opens no WebSocket is called that', async () => {
    const world = new World();
    world.answers['GET /live/ws'] = {status: 426};
    world.client.start();
    await settle();
    await world.socket.end(1006);
    assert.match(world.state.reason, /opens no WebSocket/);
    assert.equal(world.state.name, 'waiting');
});

test('getToken: a fresh one on 4001 and on 401, once; before the end of a token by auth', async () => {
    const end = (seconds) => `x.${btoa(JSON.stringify({exp: seconds}))}.y`;
    const given = [];
    const world = new World({getToken: async ({reason}) => {
        given.push(reason);
        return end(1000 + 3600 * given.length);
    }});
    world.answers['POST /live/ws/ticket'] = {status: 200, body: {ticket: 'word'}};
    await world.connected();
    await settle();
    assert.deepEqual(given, ['connect']);
    world.socket.say(log('e-1'));
    await world.socket.end(4001);
    assert.deepEqual(given, ['connect', 'refused']);
    assert.equal(world.sockets.length, 2);
    await world.connected();
    assert.equal(world.socket.asked('subscribe')[0].data.since, 'e-1');
    // The second one ends at second 8200.
    for (let passed = 0; passed < 7170; passed += 30) {
        world.socket.say({type: 'ping', data: {}});
        await world.pass(30_000);
    }
    assert.deepEqual(given, ['connect', 'refused', 'expiring']);
    assert.deepEqual(world.socket.asked('auth').map(({data}) => data.token), [end(1000 + 3600 * 3)]);
    world.answers['POST /live/ws/ticket'] = {status: 401, body: {error: 'not accepted'}};
    await world.socket.end(1006);
    await world.pass(world.delay);
    assert.deepEqual(given.slice(3), ['refused']);
    assert.equal(world.state.name, 'stopped');
    assert.ok(world.state.needsToken);
});

test('a token given where one was wanted starts it', async () => {
    const world = new World();
    world.answers['GET /live/ws'] = {status: 401, body: {error: 'who are you?'}};
    world.answers['POST /live/ws/ticket'] = {status: 200, body: {ticket: 'word'}};
    world.client.start();
    await settle();
    await world.socket.end(1006);
    assert.ok(world.state.needsToken);
    world.client.authenticate('a.b.c');
    await settle();
    assert.equal(world.sockets.length, 2);
    assert.equal(world.socket.url.searchParams.get('ticket'), 'word');
});

test('channels that are not allowed: the others are open; none at all is the end', async () => {
    const world = new World({channels: ['logs', 'stats']});
    const forbidden = {code: 'forbidden', message: 'channel not allowed', details: 'logs'};
    world.client.start();
    await settle();
    world.socket.open();
    const {id} = world.socket.asked('subscribe')[0];
    world.socket.say({type: 'error', id, data: forbidden}, {type: 'ack', id, data: {channels: ['stats']}});
    world.socket.say({type: 'pong', id: world.socket.asked('ping')[0].id, data: {}});
    assert.equal(world.state.name, 'open');
    assert.deepEqual(world.heard('problem'), [forbidden]);

    const alone = new World();
    alone.client.start();
    await settle();
    alone.socket.open();
    alone.socket.say({type: 'error', id: alone.socket.asked('subscribe')[0].id, data: forbidden});
    assert.equal(alone.state.name, 'connecting');
    alone.socket.say({type: 'pong', id: alone.socket.asked('ping')[0].id, data: {}});
    assert.equal(alone.state.name, 'stopped');
    assert.equal(alone.state.reason, 'channel not allowed: logs');
});

test('a filter that is refused ends its replay, and a later one comes', async () => {
    const world = await new World().connected();
    world.client.subscribe({channels: ['logs'], filters: {logs: {level: 'nonsense'}}, history: 5});
    const refused = world.socket.asked('subscribe')[1];
    world.socket.say({type: 'error', id: refused.id, data: {code: 'invalid_filter', message: 'invalid filter', details: 'level'}});
    world.client.subscribe({channels: ['logs'], filters: {logs: {level: 'warn'}}, history: 5});
    assert.equal(world.socket.asked('subscribe').length, 2);
    world.socket.say({type: 'pong', id: world.socket.asked('ping').at(-1).id, data: {}});
    assert.deepEqual(world.socket.asked('subscribe')[2].data.filters, {logs: {level: 'warn'}});
});

test('stop ends it for good, and forgets no place', async () => {
    const world = await new World().connected();
    world.socket.say(log('e-5'));
    world.client.stop();
    assert.equal(world.sockets[0].closed, 1000);
    await world.pass(3_600_000);
    assert.equal(world.sockets.length, 1);
    assert.equal(world.timers.size, 0);
    world.client.start();
    await settle();
    world.socket.open();
    assert.equal(world.socket.asked('subscribe')[0].data.since, 'e-5');
});

test('what an older connection says is not heard', async () => {
    const world = await new World().connected();
    const {onmessage, onclose} = world.socket;
    await world.socket.end(1006);
    await world.pass(world.delay);
    await world.connected();
    onmessage({data: JSON.stringify(log('e-1'))});
    await onclose({code: 4505, reason: ''});
    assert.equal(world.state.name, 'open');
    assert.deepEqual(world.ids, []);
});

const hex = (text) => Uint8Array.from(text.replaceAll(' ', '').match(/../g) ?? [], (pair) => parseInt(pair, 16));

test('MessagePack is asked for, spoken and understood', async () => {
    const world = await new World({encoding: 'msgpack', filters: {logs: {level: 'warn'}}, history: 500}).connected();
    assert.deepEqual(world.socket.protocols, ['goleapai.v1.msgpack']);
    assert.equal(world.socket.binaryType, 'arraybuffer');
    assert.deepEqual(world.socket.asked('subscribe').map(({data}) => data), [{channels: ['logs'], filters: {logs: {level: 'warn'}}, history: 500}]);
    world.socket.say(log('e-3', 'ä€😀'), {type: 'caught_up', data: {position: 'e-4'}});
    assert.deepEqual(world.heard('event').map(({data}) => data.message), ['ä€😀']);
    assert.equal(world.client.position, 'e-4');
    world.socket.onmessage({data: hex('81').buffer});
    assert.equal(world.state.name, 'waiting');
    assert.equal(world.state.reason, 'not MessagePack');
});

test('every form of MessagePack that JSON has something for', () => {
    for (const [text, value] of [
        ['c0', null], ['c2', false], ['c3', true], ['00', 0], ['7f', 127], ['ff', -1], ['e0', -32], ['cc80', 128], ['cdffff', 65535], ['ceffffffff', 4294967295],
        ['cf0020000000000000', 2 ** 53], ['cfffffffffffffffff', 2 ** 64], ['d080', -128], ['d18000', -32768], ['d280000000', -2147483648],
        ['d38000000000000000', -(2 ** 63)], ['ca3fc00000', 1.5], ['cb3fb999999999999a', 0.1], ['cb7ff0000000000000', Infinity],
        ['a0', ''], ['a9c3a9e282acf09f9880', 'é€😀'], ['d90161', 'a'], ['da000161', 'a'], ['db0000000161', 'a'], ['a4efbbbf61', '\ufeffa'],
        ['90', []], ['9301a161c0', [1, 'a', null]], ['dc0001c0', [null]], ['dd00000001c0', [null]],
        ['80', {}], ['82a16101a162 81a163c3', {a: 1, b: {c: true}}], ['de0001a16101', {a: 1}], ['df00000001a16101', {a: 1}], ['82a16101a16102', {a: 2}],
    ]) assert.deepEqual(unpack(hex(text).buffer), value, text);
    const named = unpack(hex('81 a9 5f5f70726f746f5f5f 81 a161 01').buffer);
    assert.ok(Object.hasOwn(named, '__proto__') && named.a === undefined);
});

test('what is no such MessagePack throws, and takes nothing by its claims', () => {
    for (const text of ['', 'c1', 'c40100', 'd40100', '0000', '8101 01', '81c001', 'a1', 'd905 61', 'dbffffffff61', 'ddffffffff', 'dfffffffffa16101', '91', 'cb00', 'a1ff']) {
        assert.throws(() => unpack(hex(text).buffer), text);
    }
});

test('what is packed comes back, and looks as it should', () => {
    for (const [value, text] of [
        [null, 'c0'], [true, 'c3'], [0, '00'], [-0, '00'], [127, '7f'], [-32, 'e0'], [128, 'd30000000000000080'], [-33, 'd3ffffffffffffffdf'], [1.5, 'cb3ff8000000000000'],
        [1e300, 'cb7e37e43c8800759c'], ['é', 'a2c3a9'], [[1, [2]], '920191 02'], [{a: undefined, b: 1}, '81a16201'],
    ]) assert.deepEqual(pack(value), hex(text), JSON.stringify(value));
    for (const value of ['x'.repeat(31), 'x'.repeat(32), 'é'.repeat(40_000), Array.from({length: 16}, (_, i) => i), Object.fromEntries(Array.from({length: 20}, (_, i) => [`k${i}`, -1e10 - i]))]) {
        assert.deepEqual(unpack(pack(value).buffer), value);
    }
});
