// The client of goleapai-ws for web pages: one file, no dependencies, no build step.
//
//     import {GoLeapAIClient} from './client.js';
//
//     const client = new GoLeapAIClient({
//         channels: ['stats', 'logs'],
//         filters: {logs: {level: 'warn'}, stats: {window: '5m'}},
//         history: 100,
//         onStats: (stats) => console.log(stats.requests_per_min),
//         onLog: (log, event) => console.log(event.timestamp, log.level, log.message),
//         onGap: (gap) => console.warn('events are missing', gap),
//     }).start();
//
// It connects again by itself, and goes on where it was: nothing twice, and where something is missing, `onGap` says so.
// From a script that is no module: `import('/client.js').then(({GoLeapAIClient}) => …)`.

/**
 * What a close code means for the client. Every code that the daemon sends stands here, and nothing about codes stands elsewhere.
 *
 * - `stop`: not again by itself; `start()` tries again.
 * - `token`: with a fresh token, then at once; without `getToken`, stop.
 * - `now`: at once, at random within a second, so that not all come together.
 * - `drain`: after the delay that the daemon told, else at random within 5 s.
 * - `backoff`: at random within a time that doubles with each failure; `backoffDoubled`: within twice that.
 *
 * @typedef {'stop' | 'token' | 'now' | 'drain' | 'backoff' | 'backoffDoubled'} Verdict
 * @type {Readonly<Record<number, Readonly<{reason: string, verdict: Verdict}>>>}
 */
export const CLOSE_CODES = Object.freeze({
    1000: {reason: 'the client asked', verdict: 'stop'},
    1001: {reason: 'the daemon stops or restarts', verdict: 'drain'},
    1002: {reason: 'protocol error', verdict: 'stop'},
    1003: {reason: 'binary not agreed', verdict: 'stop'},
    1007: {reason: 'text is not UTF-8', verdict: 'stop'},
    1009: {reason: 'message too big', verdict: 'stop'},
    1011: {reason: 'internal error', verdict: 'backoff'},
    4000: {reason: 'no sign of life', verdict: 'now'},
    4001: {reason: 'token expired', verdict: 'token'},
    4008: {reason: 'too slow', verdict: 'backoff'},
    4013: {reason: 'too many messages', verdict: 'backoffDoubled'},
    4500: {reason: 'credential revoked or not given in time', verdict: 'stop'},
    4503: {reason: 'role or channel not allowed any more', verdict: 'stop'},
    4505: {reason: 'disconnected by an admin', verdict: 'stop'},
});

/** Any other code: the connection broke, or a proxy between had its say. */
const BROKEN = Object.freeze({reason: 'the connection was lost', verdict: /** @type {Verdict} */ ('backoff')});

/**
 * What an answer over HTTP means: a page cannot see why a WebSocket was refused, so it is asked for by fetch.
 * @type {Readonly<Record<number, Verdict>>}
 */
export const HTTP_VERDICTS = Object.freeze({400: 'stop', 401: 'token', 403: 'stop', 429: 'backoff', 503: 'backoff'});

/** Times, in milliseconds. */
export const TIMES = Object.freeze({
    backoffFirst: 500, backoffMost: 20_000, healthy: 30_000, dead: 70_000, probe: 5_000, request: 10_000, drainSpread: 5_000, atOnce: 1_000,
    renewBefore: 30_000,
});

/**
 * @typedef {'logs' | 'stats' | 'providers' | 'requests' | 'all'} Channel
 * @typedef {Partial<Record<Channel, Record<string, string | number | boolean | string[]>>>} Filters by channel; evaluated by the daemon
 * @typedef {'idle' | 'connecting' | 'open' | 'waiting' | 'stopped'} StateName
 *
 * @typedef {object} Event A message that carries data.
 * @property {string} type `log`, `request`, `provider_status`, `stats_update`, or what a publisher named it
 * @property {string} [id] a place to come back to; state and what was read from the database or the journal has none
 * @property {string} timestamp RFC 3339, UTC, milliseconds
 * @property {string} [channel] of events of a free type, and of others that were published on another channel than their own
 * @property {any} data
 *
 * @typedef {object} Gap What is missing: after < id ≤ resume, or from ≤ timestamp < until.
 * @property {'slow_consumer' | 'history_expired' | 'restarted' | 'source_lag' | 'source_lost'} reason
 * @property {Channel[]} channels
 * @property {string} [after]
 * @property {string} [resume]
 * @property {string} [from]
 * @property {string} [until]
 * @property {number} [dropped] how many, where that is known
 *
 * @typedef {object} State
 * @property {StateName} name
 * @property {number} [code] the close code, or the status of an answer over HTTP
 * @property {string} reason in words; empty while all is well
 * @property {boolean} needsToken stopped because no credential, or none that counts, was given
 * @property {number} [retryAt] when the next attempt comes, in milliseconds of the clock
 * @property {number} attempts that have failed since it was last connected
 *
 * @typedef {object} Options
 * @property {string | URL} [url] where the daemon is, with a slash at its end; by default where this file came from
 * @property {string} [token] a JSON web token, or an API key (`gla_…`)
 * @property {(why: {reason: 'connect' | 'expiring' | 'refused'}) => string | Promise<string>} [getToken] in place of `token`, where tokens end
 * @property {Channel[]} [channels]
 * @property {Filters} [filters]
 * @property {number} [history] so many events of before, at the first connection
 * @property {string} [since] what the first connection begins with: an id, `5m`, or an instant
 * @property {'json' | 'msgpack'} [encoding] how messages travel: `json` (default), or `msgpack`, which is shorter; what is told is the same
 * @property {(event: Event) => void} [onEvent] every event
 * @property {(data: any, event: Event) => void} [onStats]
 * @property {(data: any, event: Event) => void} [onProvider]
 * @property {(data: any, event: Event) => void} [onRequest]
 * @property {(data: any, event: Event) => void} [onLog]
 * @property {(gap: Gap, event: Event) => void} [onGap]
 * @property {(state: State) => void} [onState]
 * @property {(channels: Channel[]) => void} [onReplay] events of before of these channels follow: what is shown of them is to be forgotten
 * @property {(position: string) => void} [onCaughtUp] from here on it is live
 * @property {(problem: {code: string, message: string, details: string}) => void} [onProblem] the daemon did not do what it was asked
 * @property {Partial<Environment>} [environment] other surroundings than the browser's: for tests
 *
 * @typedef {object} Environment
 * @property {typeof WebSocket} WebSocket
 * @property {typeof fetch} fetch
 * @property {() => number} now
 * @property {() => number} random
 * @property {(run: () => void, milliseconds: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/** Event type → callback. All callbacks are also events: `addEventListener('gap', ({detail}) => …)`. */
const CALLBACKS = Object.freeze({stats_update: 'onStats', provider_status: 'onProvider', request: 'onRequest', log: 'onLog'});

/**
 * One connection to the daemon that looks after itself.
 *
 * Events for `addEventListener`, each with what its callback gets as `detail`: `event`, `stats_update`, `provider_status`, `request`, `log` (and
 * any other type of event by its name), `gap`, `state`, `replay`, `caughtup`, `problem`.
 */
export class GoLeapAIClient extends EventTarget {
    /** @type {Options} */ #options;
    /** @type {Environment} */ #here;
    /** @type {URL} */ #base;
    /** @type {Set<Channel>} */ #channels;
    /** @type {Filters} */ #filters;
    /** @type {State} */ #state = {name: 'idle', reason: '', needsToken: false, attempts: 0};
    /** @type {Set<string>} Types of events that somebody listens to. */ #heard = new Set();

    // The connection
    /** @type {WebSocket | null} */ #socket = null;
    /** Counts connections; what belongs to an older one is not heeded. */ #attempt = 0;
    #number = 0;
    #openedAt = 0;
    #lastLife = 0;
    #deadAfter = TIMES.dead;
    /** The id of the connection's first subscription: with its answer, the connection is open. */ #firstAsk = '';
    #isSubscribed = false;
    /** @type {number | null} */ #drainDelay = null;
    /** Failures in a row: what the backoff grows with. */ #failures = 0;
    /** @type {Record<'retry' | 'dead' | 'probe' | 'renew' | 'again', any>} */ #timers = {retry: null, dead: null, probe: null, renew: null, again: null};
    /** @type {Map<string, {sent: number, done: (milliseconds: number | null) => void}>} Pings that wait for their pong. */ #pings = new Map();
    /** @type {string | undefined} */ #token;

    // The place
    /** @type {string | null} All up to and with this id is settled. */ #position = null;
    /** @type {string | null} The newest event of this connection. */ #newest = null;
    /** @type {Map<Channel, number>} Channels whose events of before are asked for, and how many; waiting for their turn. */ #wishes = new Map();
    /** @type {{id: string, channels: Channel[], isFirst: boolean, isAnswered: boolean, history: number} | null} The replay that runs. */ #replay = null;
    /** Events that came twice and were left out; always 0 unless the daemon errs. */ doubles = 0;
    /** Milliseconds by which the daemon's clock is ahead of ours, as the last ping showed. */ clockOffset = 0;
    /** @type {number | null} Milliseconds of the last ping's way there and back. */ roundTrip = null;
    /** @type {Record<string, any>} What `welcome` said of this connection. */ welcome = {};

    /** @param {Options} [options] */
    constructor(options = {}) {
        super();
        if (!['json', 'msgpack'].includes(options.encoding ?? 'json')) throw new TypeError(`encoding is 'json' or 'msgpack', not '${options.encoding}'`);
        this.#options = options;
        this.#token = options.token;
        this.#base = new URL(options.url ?? '.', import.meta.url);
        this.#base.protocol = this.#base.protocol.replace(/^ws/, 'http');
        this.#channels = new Set(options.channels ?? []);
        this.#filters = {...options.filters};
        const surroundings = /** @type {any} */ (globalThis);
        this.#here = {
            WebSocket: surroundings.WebSocket, fetch: (...all) => surroundings.fetch(...all), now: () => Date.now(), random: () => Math.random(),
            setTimeout: (run, milliseconds) => setTimeout(run, milliseconds), clearTimeout: (timer) => clearTimeout(timer), ...options.environment,
        };
    }

    // MARK: what it is like

    /** @returns {Readonly<State>} */
    get state() { return this.#state; }
    /**
     * The id from which a connection would go on.
     * @returns {string | null}
     */
    get position() { return this.#position; }
    /** @returns {Channel[]} */
    get channels() { return [...this.#channels]; }
    /** Whether events of before are still coming. */
    get isReplaying() { return this.#replay !== null; }

    /** @override @param {string} type @param {((event: CustomEvent) => void) | EventListenerObject | null} listener @param {boolean | AddEventListenerOptions} [options] */
    addEventListener(type, listener, options) {
        this.#heard.add(type);
        super.addEventListener(type, /** @type {EventListener} */ (listener), options);
    }

    // MARK: what one can do

    /**
     * Connects, and stays connected. Again after a stop.
     * @returns {this}
     */
    start() {
        if (this.#state.name === 'idle' || this.#state.name === 'stopped') {
            this.#listen(true);
            this.#failures = 0;
            this.#connect();
        } else if (this.#state.name === 'waiting') this.#connect();
        return this;
    }

    /** Ends the connection. The place is kept: `start` goes on from there. */
    stop() {
        this.#listen(false);
        this.#leave(1000);
        this.#become({name: 'stopped', reason: 'stopped', needsToken: false});
    }

    /**
     * Adds channels, or changes their filters. The filters given replace the channel's.
     * @param {{channels?: Channel[], filters?: Filters, history?: number}} wanted with `history`, so many events of before come first
     */
    subscribe({channels = [], filters = {}, history}) {
        for (const channel of channels) this.#channels.add(channel);
        const named = [...new Set([...channels, .../** @type {Channel[]} */ (Object.keys(filters))])];
        Object.assign(this.#filters, filters);
        if (history === undefined) {
            if (this.#isSubscribed) this.#ask(named, {});
            return;
        }
        for (const channel of named) this.#wishes.set(channel, history);
        if (this.#isSubscribed) this.#askForWishes();
    }

    /** @param {Channel[]} channels */
    unsubscribe(channels) {
        for (const channel of channels) {
            this.#channels.delete(channel);
            this.#wishes.delete(channel);
            delete this.#filters[channel];
        }
        if (this.#isSubscribed) this.#send({type: 'unsubscribe', id: this.#next(), data: {channels}});
    }

    /**
     * Another token: prolongs the connection that there is, and serves for the next ones. Where the client has stopped for want of one, it starts.
     * @param {string} token
     */
    authenticate(token) {
        this.#token = token;
        if (this.#isSubscribed) {
            this.#send({type: 'auth', id: this.#next(), data: {token}});
            this.#renewInTime(token);
        } else if (this.#state.needsToken || this.#state.name === 'waiting') this.#restart();
    }

    /**
     * How long the daemon takes to answer.
     * @returns {Promise<number | null>} milliseconds; null where the connection ended before
     */
    ping() {
        if (!this.#isSubscribed) return Promise.resolve(null);
        const id = this.#next();
        return new Promise((done) => {
            this.#pings.set(id, {sent: this.#here.now(), done});
            this.#send({type: 'ping', id});
        });
    }

    /** Whether there is still somebody: asks, and connects anew where no answer comes within 5 s. */
    probe() {
        if (this.#state.name === 'waiting') this.#connect();
        if (this.#state.name !== 'open' || this.#timers.probe) return;
        const asked = this.#here.now();
        this.ping();
        this.#timer('probe', TIMES.probe, () => { if (this.#lastLife < asked) this.#lose('no answer'); });
    }

    // MARK: connecting

    #restart() {
        this.#leave(1000);
        this.#listen(true);
        this.#connect();
    }

    /** @param {'connect' | 'expiring' | 'refused'} reason */
    async #currentToken(reason) {
        if (!this.#options.getToken || (reason === 'connect' && this.#token)) return this.#token;
        this.#token = await this.#options.getToken({reason});
        return this.#token;
    }

    /** @param {'connect' | 'refused'} why @returns {Promise<void>} */
    async #connect(why = 'connect') {
        const attempt = ++this.#attempt;
        this.#timer('retry');
        this.#become({name: 'connecting', needsToken: false});
        /** @type {string | undefined} */ let token;
        try {
            token = await this.#currentToken(why);
        } catch (error) {
            if (attempt === this.#attempt) this.#fail('backoff', undefined, `no token: ${error instanceof Error ? error.message : error}`);
            return;
        }
        if (attempt !== this.#attempt) return;
        const address = new URL('ws?heartbeat=json&welcome=true', this.#base);
        if (token) {
            // A token never stands in an address, where logs would keep it. A ticket counts once.
            const answer = await this.#request('POST', 'ws/ticket', token);
            if (attempt !== this.#attempt) return;
            if (answer.status !== 200 || !answer.body?.ticket) return this.#refused(answer, why);
            address.searchParams.set('ticket', answer.body.ticket);
        }
        address.protocol = address.protocol.replace(/^http/, 'ws');
        let opened = false;
        const socket = new this.#here.WebSocket(address, [`goleapai.v1.${this.#isPacked ? 'msgpack' : 'json'}`]);
        socket.binaryType = 'arraybuffer';
        this.#socket = socket;
        // A network that swallows everything answers neither yes nor no.
        this.#timer('dead', TIMES.request * 2, () => { if (!opened) this.#lose('no answer'); });
        socket.onopen = () => {
            if (attempt !== this.#attempt) return;
            opened = true;
            this.#begin(token);
        };
        socket.onmessage = ({data}) => { if (attempt === this.#attempt) this.#receive(data); };
        socket.onclose = async ({code, reason}) => {
            if (attempt !== this.#attempt) return;
            if (opened) return this.#closed(code, reason);
            const answer = await this.#request('GET', 'ws', token);
            if (attempt !== this.#attempt) return;
            // 426: it would have spoken WebSocket, had it been asked to.
            if (answer.status === 426) this.#fail('backoff', undefined, 'the server answers, but opens no WebSocket: full, or a proxy between does not pass it on');
            else this.#refused(answer, why);
        };
    }

    /**
     * @param {string} method @param {string} path @param {string} [token]
     * @returns {Promise<{status: number, body: any, retryAfter: number}>} status 0: no answer
     */
    async #request(method, path, token) {
        const abort = new AbortController();
        const timer = this.#here.setTimeout(() => abort.abort(), TIMES.request);
        try {
            const headers = token ? {Authorization: `${token.startsWith('gla_') ? 'ApiKey' : 'Bearer'} ${token}`} : undefined;
            const answer = await this.#here.fetch(new URL(path, this.#base), {method, headers, cache: 'no-store', signal: abort.signal});
            const body = await answer.json().catch(() => null);
            return {status: answer.status, body, retryAfter: Number(answer.headers.get('Retry-After')) || 0};
        } catch {
            return {status: 0, body: null, retryAfter: 0};
        } finally {
            this.#here.clearTimeout(timer);
        }
    }

    /** @param {{status: number, body: any, retryAfter: number}} answer @param {'connect' | 'refused'} why @returns {void} */
    #refused({status, body, retryAfter}, why) {
        const reason = status === 0 ? 'the server cannot be reached' : body?.error ?? `the server answered ${status}`;
        const verdict = HTTP_VERDICTS[status] ?? 'backoff';
        // A token that was fetched just now and does not count will not count when it is fetched again.
        if (verdict === 'token' && this.#options.getToken && why !== 'refused') return void this.#connect('refused');
        this.#fail(verdict === 'token' ? 'stop' : verdict, status || undefined, reason, retryAfter * 1000, verdict === 'token');
    }

    /** @param {string | undefined} token */
    #begin(token) {
        this.#openedAt = this.#here.now();
        this.#lastLife = this.#openedAt;
        this.#newest = this.#position;
        this.#watch();
        const data = /** @type {any} */ ({});
        if (this.#position !== null) data.since = this.#position;
        else {
            if (this.#options.since !== undefined) data.since = this.#options.since;
            if (this.#options.history !== undefined) data.history = this.#options.history;
        }
        if (token) this.#renewInTime(token);
        if (this.#channels.size) this.#ask([...this.#channels], data);
        else this.#subscribed();
    }

    #subscribed() {
        this.#isSubscribed = true;
        this.#become({name: 'open', reason: '', needsToken: false, attempts: 0});
        if (!this.#replay) this.#askForWishes();
        this.ping();
    }

    /** @param {Channel[]} channels @param {{since?: string, history?: number}} before */
    #ask(channels, before) {
        const id = this.#next();
        /** @type {Filters} */ const filters = {};
        for (const channel of /** @type {Channel[]} */ (Object.keys(this.#filters))) {
            if (channels.includes(channel) || channels.includes('all')) filters[channel] = this.#filters[channel];
        }
        if (before.since !== undefined || before.history !== undefined) {
            this.#replay = {id, channels, isFirst: !this.#isSubscribed, isAnswered: false, history: before.history ?? 0};
        }
        this.#firstAsk ||= id;
        this.#send({type: 'subscribe', id, data: {channels, filters, ...before}});
    }

    /** One replay at a time: the daemon would refuse another. */
    #askForWishes() {
        if (this.#replay || !this.#wishes.size) return;
        const history = Math.max(...this.#wishes.values());
        const channels = [...this.#wishes.keys()];
        this.#wishes.clear();
        this.#ask(channels, {history});
    }

    // MARK: what comes

    /** @param {any} data */
    #receive(data) {
        this.#lastLife = this.#here.now();
        /** @type {any} */ let message;
        try {
            message = this.#isPacked ? unpack(data) : JSON.parse(data);
        } catch {
            return this.#lose(this.#isPacked ? 'not MessagePack' : 'not JSON');
        }
        const settled = message.data?.position;
        switch (message.type) {
        case 'welcome':
            this.welcome = message.data;
            this.#deadAfter = Math.max(TIMES.dead, 2 * 1000 * message.data.heartbeat_interval + 10_000);
            return;
        case 'ack': return this.#acknowledged(message);
        case 'ping':
            this.#send({type: 'pong'});
            if (settled && this.#isSubscribed) this.#settle(settled);
            return;
        case 'pong': {
            if (settled && this.#isSubscribed) this.#settle(settled);
            const ping = this.#pings.get(message.id);
            if (!ping) return;
            this.#pings.delete(message.id);
            const now = this.#here.now();
            this.roundTrip = now - ping.sent;
            this.clockOffset = Date.parse(message.timestamp) - (ping.sent + now) / 2;
            return ping.done(this.roundTrip);
        }
        case 'caught_up':
            this.#settle(settled);
            this.#replay = null;
            this.#tell('caughtup', 'onCaughtUp', settled);
            return this.#askForWishes();
        case 'drain':
            this.#drainDelay = Number(message.data.reconnect_in_ms) || 0;
            if (settled) this.#settle(settled);
            return;
        case 'error': return this.#problem(message);
        case 'gap': return this.#gap(message);
        default: return this.#event(message);
        }
    }

    /** @param {any} message */
    #acknowledged({id}) {
        const replay = this.#replay;
        if (replay && replay.id === id) {
            replay.isAnswered = true;
            if (!replay.isFirst || this.#position === null) this.#tell('replay', 'onReplay', replay.channels);
        }
        if (id === this.#firstAsk && !this.#isSubscribed) this.#subscribed();
    }

    /** @param {any} message */
    #problem({id, data}) {
        this.#tell('problem', 'onProblem', data);
        const isFirst = id === this.#firstAsk && !this.#isSubscribed;
        if (id === undefined || (!isFirst && this.#replay?.id !== id)) return;
        const because = `${data.message}: ${data.details}`;
        if (data.code === 'rate_limited') {
            if (isFirst) return this.#fail('backoff', undefined, because);
            this.#giveUpReplay();
            this.#timer('again', 1000, () => this.#askForWishes());
            return;
        }
        // What else the message asked for may still be acknowledged. Answers come in order: the next pong shows whether it was.
        const check = this.#next();
        this.#send({type: 'ping', id: check});
        this.#pings.set(check, {sent: this.#here.now(), done: (answered) => {
            if (answered === null) return;
            if (isFirst && !this.#isSubscribed) this.#fail('stop', undefined, because);
            else if (this.#replay?.id === id && !this.#replay?.isAnswered) {
                this.#replay = null;
                this.#askForWishes();
            }
        }});
    }

    /** A replay that did not come to its end is asked for again. The first one goes on by its place. */
    #giveUpReplay() {
        if (this.#replay && !this.#replay.isFirst) {
            for (const channel of this.#replay.channels) if (!this.#wishes.has(channel)) this.#wishes.set(channel, this.#replay.history);
        }
        this.#replay = null;
    }

    /** @param {any} message */
    #gap(message) {
        const {reason, resume} = message.data;
        // Another epoch, or one in which our id is still to come: the old place means nothing any more.
        if (reason === 'restarted') this.#position = this.#newest = resume;
        else if (resume) this.#settle(resume);
        if (message.id) this.#settle(message.id);
        this.#tell('gap', 'onGap', message.data, message);
    }

    /** @param {Event} message */
    #event(message) {
        if (message.id !== undefined) {
            // Within a connection ids only grow, but that a later replay begins earlier.
            if (!this.#replay || this.#replay.isFirst) {
                if (this.#newest !== null && isUpTo(message.id, this.#newest)) {
                    this.doubles += 1;
                    return;
                }
                this.#newest = message.id;
            }
            this.#settle(message.id);
        }
        this.#tell('event', 'onEvent', message);
        const callback = CALLBACKS[/** @type {keyof typeof CALLBACKS} */ (message.type)];
        this.#tell(message.type, callback, message.data, message);
    }

    /** @param {string} id */
    #settle(id) { if (this.#position === null || !isUpTo(id, this.#position)) this.#position = id; }

    // MARK: endings

    /** @param {number} code @param {string} said */
    #closed(code, said) {
        const {reason, verdict} = CLOSE_CODES[code] ?? BROKEN;
        const because = CLOSE_CODES[code] && said && said !== reason ? `${reason}: ${said}` : reason;
        if (verdict === 'token' && this.#options.getToken) {
            this.#leave();
            return void this.#connect('refused');
        }
        this.#fail(verdict === 'token' ? 'stop' : verdict, code, because, 0, verdict === 'token' || code === 4500);
    }

    /**
     * There may be nobody at the other end: a close frame would wait for an answer that does not come.
     * @param {string} reason
     */
    #lose(reason) {
        this.#fail('backoff', undefined, reason);
    }

    /**
     * @param {Verdict} verdict @param {number | undefined} code @param {string} reason
     * @param {number} [least] milliseconds that the daemon asks to wait @param {boolean} [needsToken]
     */
    #fail(verdict, code, reason, least = 0, needsToken = false) {
        const now = this.#here.now();
        if (this.#isSubscribed && now - this.#openedAt >= TIMES.healthy) this.#failures = 0;
        const drainDelay = this.#drainDelay;
        this.#leave();
        if (verdict === 'stop') {
            this.#listen(false);
            this.#become({name: 'stopped', code, reason, needsToken});
            return;
        }
        const most = Math.min(TIMES.backoffMost, TIMES.backoffFirst * 2 ** Math.min(this.#failures, 16));
        const random = this.#here.random();
        this.#failures += 1;
        let delay = random * most;
        if (verdict === 'now' && this.#failures === 1) delay = random * TIMES.atOnce;
        if (verdict === 'backoffDoubled') delay *= 2;
        if (verdict === 'drain') delay = drainDelay ?? random * TIMES.drainSpread;
        if (least) delay = least + random * TIMES.atOnce;
        this.#become({name: 'waiting', code, reason, needsToken: false, attempts: this.#state.attempts + 1, retryAt: now + delay});
        this.#timer('retry', delay, () => this.#connect());
    }

    /**
     * Lets go of the connection.
     * @param {number} [code]
     */
    #leave(code) {
        this.#attempt += 1;
        const socket = this.#socket;
        this.#socket = null;
        if (socket) {
            socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
            if (socket.readyState < 2) try { socket.close(code); } catch { /* it is over already */ }
        }
        for (const name of /** @type {const} */ (['retry', 'dead', 'probe', 'renew', 'again'])) this.#timer(name);
        this.#giveUpReplay();
        this.#isSubscribed = false;
        this.#firstAsk = '';
        this.#drainDelay = null;
        for (const {done} of this.#pings.values()) done(null);
        this.#pings.clear();
    }

    // MARK: signs of life

    /** One timer that looks from time to time, not one for each message. */
    #watch() {
        const left = this.#lastLife + this.#deadAfter - this.#here.now();
        this.#timer('dead', Math.max(left, 0), () => {
            if (this.#here.now() - this.#lastLife >= this.#deadAfter) this.#lose('no sign of life');
            else this.#watch();
        });
    }

    /** A device that was asleep, a tab that was out of sight, a network that is back. */
    #wake = () => {
        if (typeof document !== 'undefined' && document.visibilityState === 'hidden') return;
        this.probe();
    };

    /** @param {boolean} wanted */
    #listen(wanted) {
        const what = wanted ? 'addEventListener' : 'removeEventListener';
        const target = /** @type {any} */ (globalThis);
        target[what]?.('online', this.#wake);
        target[what]?.('pageshow', this.#wake);
        if (typeof document !== 'undefined') document[what]('visibilitychange', this.#wake);
    }

    // MARK: small things

    /**
     * A token tells when it ends: a fresh one is fetched before that, so that the connection need not end.
     * @param {string} token
     */
    #renewInTime(token) {
        const end = expiry(token);
        if (end === null || !this.#options.getToken) return;
        const left = Math.max(end - TIMES.renewBefore - this.#here.now() - this.clockOffset, 1000);
        const attempt = this.#attempt;
        this.#timer('renew', Math.min(left, 2 ** 31 - 1), async () => {
            try {
                const fresh = await this.#currentToken('expiring');
                if (fresh && attempt === this.#attempt) this.authenticate(fresh);
            } catch (error) {
                this.#tell('problem', 'onProblem', {code: 'token', message: 'no fresh token', details: String(error)});
            }
        });
    }

    #next() { return String(++this.#number); }

    get #isPacked() { return this.#options.encoding === 'msgpack'; }

    /** @param {any} message */
    #send(message) { if (this.#socket?.readyState === 1) this.#socket.send(this.#isPacked ? pack(message) : JSON.stringify(message)); }

    /** @param {'retry' | 'dead' | 'probe' | 'renew' | 'again'} name @param {number} [milliseconds] @param {() => void} [run] without: none any more */
    #timer(name, milliseconds, run) {
        this.#here.clearTimeout(this.#timers[name]);
        this.#timers[name] = run ? this.#here.setTimeout(() => { this.#timers[name] = null; run(); }, milliseconds ?? 0) : null;
    }

    /** @param {Partial<State>} change */
    #become(change) {
        const {code, retryAt, ...kept} = this.#state;
        this.#state = Object.freeze({...kept, ...change});
        this.#tell('state', 'onState', this.#state);
    }

    /** @param {string} type @param {string | undefined} callback @param {any} detail @param {any} [more] */
    #tell(type, callback, detail, more) {
        if (callback) /** @type {any} */ (this.#options)[callback]?.(detail, more);
        if (this.#heard.has(type)) this.dispatchEvent(new CustomEvent(type, {detail}));
    }
}

/**
 * Whether an id is not behind another. Ids of another epoch are.
 * @param {string} id @param {string} other
 */
function isUpTo(id, other) {
    const [at, there] = [id.lastIndexOf('-'), other.lastIndexOf('-')];
    return id.slice(0, at) === other.slice(0, there) && Number(id.slice(at + 1)) <= Number(other.slice(there + 1));
}

/**
 * When a JSON web token ends, in milliseconds; null where it does not say.
 * @param {string} token
 */
function expiry(token) {
    try {
        const claims = JSON.parse(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')));
        return typeof claims.exp === 'number' ? claims.exp * 1000 : null;
    } catch {
        return null;
    }
}

/**
 * The value of a message in MessagePack, as `JSON.parse` would give it.
 * @param {ArrayBuffer} buffer what is not MessagePack, or says more than JSON could, throws
 */
export function unpack(buffer) {
    const view = new DataView(buffer);
    const text = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});
    let at = 0;
    /** @param {number} bytes */
    const skip = (bytes) => {
        if (bytes > view.byteLength - at) throw new RangeError('it ends too early');
        at += bytes;
        return at - bytes;
    };
    /** @param {number} bytes */
    const count = (bytes) => bytes === 1 ? view.getUint8(skip(1)) : bytes === 2 ? view.getUint16(skip(2)) : view.getUint32(skip(4));
    /** @param {number} length */
    const string = (length) => text.decode(new Uint8Array(buffer, skip(length), length));
    /** @param {number} length */
    const list = (length) => {
        const items = [];
        while (items.length < length) items.push(value());
        return items;
    };
    /** @param {number} length */
    const object = (length) => {
        /** @type {[string, any][]} */ const members = [];
        while (members.length < length) {
            const name = value();
            if (typeof name !== 'string') throw new TypeError('a name that is no string');
            members.push([name, value()]);
        }
        // Not by assigning, to which the name __proto__ would mean something else.
        return Object.fromEntries(members);
    };
    /** @returns {any} */
    const value = () => {
        const format = count(1);
        if (format < 0x80) return format;
        if (format < 0x90) return object(format & 0x0F);
        if (format < 0xA0) return list(format & 0x0F);
        if (format < 0xC0) return string(format & 0x1F);
        if (format >= 0xE0) return format - 0x100;
        switch (format) {
        case 0xC0: return null;
        case 0xC2: return false;
        case 0xC3: return true;
        case 0xCA: return view.getFloat32(skip(4));
        case 0xCB: return view.getFloat64(skip(8));
        case 0xCC: case 0xCD: case 0xCE: return count(1 << (format - 0xCC));
        case 0xCF: return Number(view.getBigUint64(skip(8)));
        case 0xD0: return view.getInt8(skip(1));
        case 0xD1: return view.getInt16(skip(2));
        case 0xD2: return view.getInt32(skip(4));
        case 0xD3: return Number(view.getBigInt64(skip(8)));
        case 0xD9: case 0xDA: case 0xDB: return string(count(1 << (format - 0xD9)));
        case 0xDC: case 0xDD: return list(count(2 << (format - 0xDC)));
        case 0xDE: case 0xDF: return object(count(2 << (format - 0xDE)));
        default: throw new TypeError('nothing that JSON has');
        }
    };
    const whole = value();
    if (at !== view.byteLength) throw new RangeError('something stands behind it');
    return whole;
}

/**
 * A message of plain objects, arrays, texts, numbers, booleans and null as MessagePack.
 * @param {any} message
 * @returns {Uint8Array}
 */
export function pack(message) {
    /** @type {number[]} */ const bytes = [];
    const scratch = new DataView(new ArrayBuffer(8));
    /** @param {number} format @param {number} size of what stands at the beginning of `scratch` */
    const put = (format, size) => { bytes.push(format, ...new Uint8Array(scratch.buffer, 0, size)); };
    /** @param {number} length @param {number} short the format of up to `most` @param {number} most @param {number} long that of 32 bits */
    const head = (length, short, most, long) => {
        if (length <= most) return void bytes.push(short | length);
        scratch.setUint32(0, length);
        put(long, 4);
    };
    /** @param {any} value */
    const write = (value) => {
        if (value === null || value === undefined) bytes.push(0xC0);
        else if (typeof value === 'boolean') bytes.push(value ? 0xC3 : 0xC2);
        else if (typeof value === 'string') {
            const text = new TextEncoder().encode(value);
            head(text.length, 0xA0, 31, 0xDB);
            for (const byte of text) bytes.push(byte);
        } else if (typeof value === 'number') {
            if (!Number.isFinite(value)) bytes.push(0xC0);
            else if (!Number.isSafeInteger(value)) {
                scratch.setFloat64(0, value);
                put(0xCB, 8);
            } else if (value >= -32 && value <= 127) bytes.push(value & 0xFF);
            else {
                scratch.setBigInt64(0, BigInt(value));
                put(0xD3, 8);
            }
        } else if (Array.isArray(value)) {
            head(value.length, 0x90, 15, 0xDD);
            for (const item of value) write(item);
        } else {
            const members = Object.entries(value).filter(([, member]) => member !== undefined);
            head(members.length, 0x80, 15, 0xDF);
            for (const [name, member] of members) {
                write(name);
                write(member);
            }
        }
    };
    write(message);
    return Uint8Array.from(bytes);
}
