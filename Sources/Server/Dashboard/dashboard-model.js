// What is known, without how it looks.

/**
 * The last so many of something, counted from the newest.
 * @template T
 */
export class Tail {
    /** @type {T[]} */ #slots = [];
    /** How many there have been. */ added = 0;

    /** @param {number} most */
    constructor(most) { this.most = most; }

    get length() { return Math.min(this.added, this.most); }

    /** @param {T} one */
    push(one) {
        this.#slots[this.added % this.most] = one;
        this.added += 1;
    }

    /**
     * The one that is so many behind the newest.
     * @param {number} back @returns {T | undefined}
     */
    at(back) { return back < this.length ? this.#slots[(this.added - 1 - back) % this.most] : undefined; }

    clear() {
        this.#slots = [];
        this.added = 0;
    }
}

/** Requests by the second in which they were: how many, how many failed, how long they took. */
export class Series {
    /** Seconds that are kept. */ static SPAN = 320;
    /** Steps of the histogram per factor e: 4 %. */ static STEPS = 24;

    /** @type {Map<number, {ok: number, failed: number, times: Record<number, number>}>} */ seconds = new Map();
    /** @type {number | null} The second from which on nothing is missing; null: not known yet. */ since = null;

    /** @param {{timestamp: string, data: any}} event */
    add({timestamp, data}) {
        const second = Math.floor(Date.parse(timestamp) / 1000);
        if (!Number.isFinite(second)) return;
        let at = this.seconds.get(second);
        if (!at) {
            at = {ok: 0, failed: 0, times: {}};
            this.seconds.set(second, at);
            if (this.since === null || second < this.since) this.since = second;
            if (this.seconds.size > Series.SPAN * 1.2) {
                const oldest = [...this.seconds.keys()].sort((a, b) => a - b).slice(0, this.seconds.size - Series.SPAN);
                for (const one of oldest) this.seconds.delete(one);
            }
        }
        if (data.success === false) at.failed += 1;
        else at.ok += 1;
        const step = Math.round(Math.log(Math.max(1, Number(data.latency_ms) || 0)) * Series.STEPS);
        at.times[step] = (at.times[step] ?? 0) + 1;
    }

    /**
     * Buckets of `width` seconds, the oldest first; the last one ends behind second `last`.
     * @param {number} last @param {number} width @param {number} count
     */
    buckets(last, width, count) {
        const found = [];
        for (let index = 0; index < count; index++) {
            const begin = last - (count - index) * width + 1;
            const bucket = {begin, ok: 0, failed: 0, p50: 0, p95: 0, slowest: 0};
            /** @type {Map<number, number>} */ const times = new Map();
            for (let second = begin; second < begin + width; second++) {
                const at = this.seconds.get(second);
                if (!at) continue;
                bucket.ok += at.ok;
                bucket.failed += at.failed;
                for (const [step, many] of Object.entries(at.times)) times.set(+step, (times.get(+step) ?? 0) + many);
            }
            const steps = [...times].sort((a, b) => a[0] - b[0]);
            const all = bucket.ok + bucket.failed;
            let seen = 0;
            for (const [step, many] of steps) {
                const time = Math.exp(step / Series.STEPS);
                if (seen < all * 0.5) bucket.p50 = time;
                if (seen < all * 0.95) bucket.p95 = time;
                bucket.slowest = time;
                seen += many;
            }
            found.push(bucket);
        }
        return found;
    }

    plain() { return {since: this.since, seconds: [...this.seconds]}; }

    /** @param {{since: number | null, seconds: [number, any][]}} plain */
    static of({since, seconds}) {
        const series = new Series();
        series.since = since;
        series.seconds = new Map(seconds);
        return series;
    }
}

/**
 * @typedef {object} Provider
 * @property {string} id
 * @property {string} name
 * @property {string} status
 * @property {string} message
 * @property {number} latency
 * @property {{at: number, status: string}[]} past its states, the oldest first
 */

/** All that the page shows. `apply` takes what comes; the view looks at it once per frame. */
export class Model {
    /** @type {Tail<any>} */ logs = new Tail(5000);
    /** @type {Tail<any>} */ requests = new Tail(5000);
    series = new Series();
    /** @type {any} The present figures. */ stats = null;
    /** @type {any[]} The figures of before, for small curves. */ figures = [];
    /** @type {Map<string, Provider>} */ providers = new Map();
    /** @type {any} */ state = {name: 'idle', reason: ''};
    link = {roundTrip: /** @type {number | null} */ (null), clockOffset: 0, position: /** @type {string | null} */ (null), doubles: 0, tabs: 1};
    /** @type {{at: number, data: any, from: number, until: number}[]} Holes: when they were told; and of requests from when until when, as far as that is known. */ gaps = [];
    reconnects = 0;
    /** @type {number | null} When the connection was lost; null while there is one. */ lostAt = null;
    isLive = false;
    /** @type {Set<string>} Channels that are not ours to see. */ forbidden = new Set();
    /** What the daemon did not understand. */ problem = '';
    /** @type {number | null} Milliseconds from origin to here, of the last live events. */ lag = null;
    /** Events since the page was opened. */ events = 0;
    #wasOpen = false;
    /** Events of before are coming, which are not late. */ #isReplaying = false;

    /** @param {{messages: any[], series: any}} snapshot */
    restore({messages, series}) {
        this.logs.clear();
        this.requests.clear();
        this.providers.clear();
        this.figures = [];
        this.gaps = [];
        this.stats = null;
        this.isLive = false;
        this.forbidden.clear();
        this.problem = '';
        for (const message of messages) this.apply(message, true);
        this.series = Series.of(series);
    }

    /** @param {any} message @param {boolean} [isOld] told from memory */
    apply(message, isOld = false) {
        const {type, data} = message;
        switch (type) {
        case 'stats_update':
            this.stats = data;
            this.figures.push(data);
            if (this.figures.length > 150) this.figures.shift();
            break;
        case 'provider_status': this.#provider(message); break;
        case 'request':
            this.requests.push(message);
            if (!isOld) this.series.add(message);
            this.#measure(message, isOld);
            break;
        case 'gap': this.#gap(message, isOld); break;
        case '$state': this.#become(message.state, isOld); break;
        case '$replay': this.#replay(message.channels); break;
        case '$caughtup':
            this.isLive = true;
            this.#isReplaying = false;
            this.series.since ??= Math.floor(Date.now() / 1000);
            break;
        case '$link': Object.assign(this.link, message); break;
        case '$problem': {
            const {code, details, message: what} = message.problem;
            if (code === 'forbidden') for (const channel of details.split(', ')) this.forbidden.add(channel);
            else this.problem = details ? `${what}: ${details}` : what;
            break;
        }
        default:
            this.logs.push(message);
            this.#measure(message, isOld);
        }
        if (!type.startsWith('$') && !isOld) this.events += 1;
    }

    /** @param {any} message @param {boolean} isOld */
    #measure({id, timestamp}, isOld) {
        if (!id || isOld || !this.isLive || this.#isReplaying) return;
        const lag = Math.max(0, Date.now() + this.link.clockOffset - Date.parse(timestamp));
        this.lag = this.lag === null ? lag : this.lag * 0.9 + lag * 0.1;
    }

    /** @param {any} message */
    #provider({timestamp, data}) {
        const at = Date.parse(timestamp);
        let provider = this.providers.get(data.provider_id);
        if (!provider) {
            provider = {id: data.provider_id, name: '', status: '', message: '', latency: 0, past: []};
            this.providers.set(provider.id, provider);
        }
        // The present state comes first, and then those before it.
        let index = provider.past.length;
        while (index > 0 && provider.past[index - 1].at > at) index -= 1;
        const isNewest = index === provider.past.length;
        const before = provider.past[index - 1];
        if (before?.status !== data.status) provider.past.splice(index, 0, {at, status: data.status});
        if (provider.past.length > 200) provider.past.shift();
        if (isNewest) Object.assign(provider, {
            name: data.provider_name || data.provider_id, status: data.status, message: data.message ?? '', latency: data.latency_ms,
        });
    }

    /** @param {any} event @param {boolean} isOld */
    #gap(event, isOld) {
        const at = Date.parse(event.timestamp);
        const {channels, from, until} = event.data;
        const isOfRequests = channels.includes('requests') || channels.includes('all');
        this.gaps.push({at, data: event.data, from: isOfRequests ? from ? Date.parse(from) : event.lostAt : NaN, until: until ? Date.parse(until) : at});
        if (this.gaps.length > 50) this.gaps.shift();
        if (isOld) return;
        if (channels.includes('logs') || channels.includes('all')) this.logs.push(event);
        if (isOfRequests) this.requests.push(event);
    }

    /** @param {any} state @param {boolean} isOld */
    #become(state, isOld) {
        if (state.name === 'open') {
            if (this.#wasOpen && this.lostAt !== null) this.reconnects += 1;
            this.#wasOpen = true;
            this.lostAt = null;
        } else {
            if (state.name === 'connecting') this.forbidden.clear();
            this.isLive = this.#isReplaying = false;
            if (this.#wasOpen) this.lostAt ??= Date.now();
        }
        if (isOld && state.name === 'open') this.isLive = true;
        this.state = state;
    }

    /** @param {string[]} channels */
    #replay(channels) {
        this.problem = '';
        this.#isReplaying = true;
        if (channels.includes('logs')) this.logs.clear();
        if (channels.includes('providers')) this.providers.clear();
        if (!channels.includes('requests')) return;
        this.requests.clear();
        this.series = new Series();
    }
}
