// Where the page's events come from: one connection for all tabs that show the same, kept by a shared worker where there is one (dashboard-worker.js),
// else by the page itself. What a tab that comes later has missed, it is told from memory.

import {GoLeapAIClient} from './client.js';
import {Series} from './dashboard-model.js';

/** How many of each kind are kept for tabs to come. */
const KEPT = {log: 3000, request: 3000, stats_update: 300, provider_status: 1000, gap: 50};
/** Events of before that are asked for: at the beginning of all channels, later of the one whose filter has changed. */
const HISTORY = 4000;
/** Milliseconds for which events are gathered before they go to the tabs. */
const BATCH = 50;
/** Milliseconds after which a tab that says nothing is gone. Tabs out of sight run their timers once a minute. */
const GONE = 180_000;

/**
 * What a tab shows: filters by channel, as the daemon takes them.
 * @typedef {{stats: Record<string, any>, logs: Record<string, any>, requests: Record<string, any>}} View
 * @typedef {Record<string, any> & {type: string}} Message an event as it came; or with a type that begins with `$` what the connection is like
 */

/** One connection, and the tabs that look at it. */
class Feed {
    /** @param {View} view @param {string} token @param {(members: Set<MessagePort>, messages: Message[]) => void} send */
    constructor(view, token, send) {
        this.view = view;
        this.token = token;
        /** @type {Set<MessagePort>} */ this.members = new Set();
        /** @type {Map<string, Message[]>} */ this.kept = new Map();
        this.series = new Series();
        /** When the connection was lost, by the daemon's clock: a gap that follows begins there. */ this.lostAt = NaN;
        this.isOpen = false;
        /** Events of before were asked for, and none has come yet. */ this.isBeginning = false;
        /** @type {Message[]} */ this.waiting = [];
        this.send = send;
        this.client = new GoLeapAIClient({
            token, channels: ['stats', 'providers', 'requests', 'logs'], filters: {stats: view.stats, logs: view.logs, requests: view.requests}, history: HISTORY,
            onEvent: (event) => {
                if (event.id) this.isBeginning = false;
                this.add(event);
            },
            onGap: (gap, event) => {
                // More of before is asked for than may be kept. What is missing there is no loss.
                if (!this.isBeginning || gap.reason !== 'history_expired') this.add({...event, lostAt: this.lostAt});
            },
            onState: (state) => this.become(state),
            onReplay: (channels) => {
                this.isBeginning = true;
                this.add({type: '$replay', channels, at: Date.now()});
            },
            onCaughtUp: () => {
                this.lostAt = NaN;
                this.isBeginning = false;
                this.add({type: '$caughtup'});
            },
            onProblem: (problem) => this.add({type: '$problem', problem}),
        });
        this.timer = setInterval(() => this.look(), 5000);
        this.client.start();
    }

    end() {
        clearInterval(this.timer);
        this.client.stop();
    }

    /** @param {import('./client.js').State} state */
    become(state) {
        if (this.isOpen && state.name !== 'open') this.lostAt = Date.now() + this.client.clockOffset;
        this.isOpen = state.name === 'open';
        if (!this.isOpen) this.isBeginning = false;
        this.add({type: '$state', state});
    }

    /**
     * Keeps a message for tabs to come, and hands it to those that are there.
     * @param {Message} message
     */
    add(message) {
        if (message.type === '$replay') {
            if (this.kept.get('$problem')?.[0].problem.code !== 'forbidden') this.kept.delete('$problem');
            if (message.channels.includes('logs')) this.kept.set('log', []);
            if (message.channels.includes('requests')) {
                this.kept.set('request', []);
                this.series = new Series();
            }
            if (message.channels.includes('providers')) this.kept.set('provider_status', []);
        }
        if (message.type === 'request') this.series.add(/** @type {any} */ (message));
        const kind = message.type in KEPT || message.type.startsWith('$') ? message.type : 'log';
        if (kind.startsWith('$')) this.kept.set(kind, [message]);
        else {
            const list = this.kept.get(kind) ?? [];
            this.kept.set(kind, list);
            list.push(message);
            const most = KEPT[/** @type {keyof typeof KEPT} */ (kind)];
            if (list.length > most * 1.25) list.splice(0, list.length - most);
        }
        if (!this.waiting.length) setTimeout(() => this.flush(), BATCH);
        this.waiting.push(message);
    }

    flush() {
        const messages = this.waiting;
        this.waiting = [];
        if (messages.length) this.send(this.members, messages);
    }

    /** How far away the daemon is. */
    async look() {
        await this.client.ping();
        const {roundTrip, clockOffset, position, doubles} = this.client;
        this.add({type: '$link', roundTrip, clockOffset, position, doubles, tabs: this.members.size});
    }

    /** @param {MessagePort} port */
    join(port) {
        this.flush();
        this.members.add(port);
        const messages = [...this.kept].filter(([kind]) => kind !== '$replay').flatMap(([, list]) => list);
        port.postMessage({kind: 'snapshot', messages, series: this.series.plain(), view: this.view});
        this.look();
    }

    /**
     * Other filters on the same connection.
     * @param {View} view
     */
    show(view) {
        const before = this.view;
        this.view = view;
        for (const channel of /** @type {const} */ (['stats', 'requests', 'logs'])) {
            if (JSON.stringify(before[channel]) === JSON.stringify(view[channel])) continue;
            if (channel === 'stats') this.kept.set('stats_update', []);
            this.client.subscribe({
                channels: [channel], filters: {[channel]: view[channel]}, history: channel === 'stats' ? undefined : HISTORY,
            });
        }
    }
}

/** All feeds of one worker, or of one page without one. */
export class Feeds {
    /** @type {Map<string, Feed>} */ #feeds = new Map();
    /** @type {Map<MessagePort, {feed: Feed, heard: number}>} */ #tabs = new Map();

    constructor() {
        setInterval(() => {
            for (const [port, {heard}] of this.#tabs) if (Date.now() - heard > GONE) this.#leave(port);
        }, 30_000);
    }

    /**
     * A tab, which says by `join` what it wants to see.
     * @param {MessagePort} port
     */
    attach(port) {
        port.onmessage = ({data}) => {
            switch (data.kind) {
            case 'hello': return port.postMessage({kind: 'hello'});
            case 'join': return this.#join(port, data.view, data.token);
            case 'alive': {
                const tab = this.#tabs.get(port);
                if (tab) tab.heard = Date.now();
                else this.#join(port, data.view, data.token);
                return;
            }
            case 'start': return void this.#tabs.get(port)?.feed.client.start();
            case 'wake': return this.#tabs.get(port)?.feed.client.probe();
            case 'leave': return this.#leave(port);
            }
        };
        port.start?.();
    }

    /** @param {MessagePort} port @param {View} view @param {string} token */
    #join(port, view, token) {
        const key = JSON.stringify([token, view]);
        const present = this.#tabs.get(port)?.feed;
        const wanted = this.#feeds.get(key);
        if (present && !wanted && present.token === token && present.members.size === 1) {
            // Nobody else looks at it.
            this.#forget(present);
            this.#feeds.set(key, present);
            present.show(view);
            return;
        }
        if (present && present === wanted) return;
        this.#leave(port);
        const feed = wanted ?? new Feed(view, token, (members, messages) => { for (const member of members) member.postMessage({kind: 'batch', messages}); });
        this.#feeds.set(key, feed);
        this.#tabs.set(port, {feed, heard: Date.now()});
        feed.join(port);
    }

    /** @param {MessagePort} port */
    #leave(port) {
        const feed = this.#tabs.get(port)?.feed;
        this.#tabs.delete(port);
        if (!feed) return;
        feed.members.delete(port);
        if (feed.members.size) return;
        this.#forget(feed);
        feed.end();
    }

    /** @param {Feed} feed */
    #forget(feed) { for (const [key, each] of this.#feeds) if (each === feed) this.#feeds.delete(key); }
}

/** Part of the worker's name, so that a page never speaks to the worker of another version. To be raised when the messages change. */
const VERSION = 2;

/**
 * A port to the feeds: of the shared worker that all tabs have, or of our own.
 * @returns {Promise<{port: MessagePort, isShared: boolean}>}
 */
export async function openFeeds() {
    try {
        const worker = new SharedWorker(new URL('dashboard-worker.js', import.meta.url), {type: 'module', name: `goleapai-ws ${VERSION}`});
        await new Promise((done, failed) => {
            worker.onerror = failed;
            setTimeout(failed, 5000);
            worker.port.onmessage = done;
            worker.port.start();
            worker.port.postMessage({kind: 'hello'});
        });
        return {port: worker.port, isShared: true};
    } catch {
        // No such workers here, or none allowed.
        const {port1, port2} = new MessageChannel();
        new Feeds().attach(port2);
        return {port: port1, isShared: false};
    }
}
