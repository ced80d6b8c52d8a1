// The page: what it shows is in its address (behind the #), what it knows in the model, how it looks in the view.

import {openFeeds} from './dashboard-feed.js';
import {Model} from './dashboard-model.js';
import {LatencyChart, ProviderCards, RateChart, RowList, Tile, cells, duration, make, number, percent, preciseTime, say, time} from './dashboard-view.js';

const $ = (/** @type {string} */ selector) => /** @type {any} */ (document.querySelector(selector));
const model = new Model();

// MARK: what is shown, and the address that says so

const WINDOWS = ['1m', '5m', '1h', '24h'];
const DEFAULTS = {window: '5m', level: '', component: '', q: '', provider: '', model: '', errors: '', min: ''};
/** @typedef {typeof DEFAULTS} Shown */

/** @returns {Shown} */
function fromAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    const shown = {...DEFAULTS};
    for (const key of /** @type {(keyof Shown)[]} */ (Object.keys(DEFAULTS))) shown[key] = given.get(key) ?? DEFAULTS[key];
    if (!WINDOWS.includes(shown.window)) shown.window = DEFAULTS.window;
    if (!/^\d{0,9}$/.test(shown.min)) shown.min = '';
    shown.errors = shown.errors ? '1' : '';
    return shown;
}

/**
 * The address of a view: only what differs from the usual.
 * @param {Shown} shown
 */
function address(shown) {
    const wanted = new URLSearchParams();
    for (const key of /** @type {(keyof Shown)[]} */ (Object.keys(DEFAULTS))) if (shown[key] !== DEFAULTS[key]) wanted.set(key, shown[key]);
    const text = wanted.toString();
    return text ? `#${text}` : location.pathname + location.search;
}

/**
 * As filters of the daemon, which evaluates them.
 * @param {Shown} shown
 */
function filters(shown) {
    const given = (/** @type {Record<string, any>} */ all) => Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ''));
    return {
        stats: {window: shown.window, interval: 2},
        logs: given({level: shown.level, component: shown.component, q: shown.q, provider_id: shown.provider}),
        requests: given({provider_id: shown.provider, model_id: shown.model, only_errors: shown.errors && true, min_latency_ms: shown.min && Number(shown.min)}),
    };
}

let shown = fromAddress();
/** @type {any} */ let typing;
/** The field in which the last change was typed. */ let typedIn = '';

/**
 * Changes the view.
 * @param {Partial<Shown>} change @param {string} [field] in which it is typed: then the next letter comes soon, and is no place to go back to
 */
function change(change, field = '') {
    const next = {...shown, ...change};
    if (address(next) === address(shown)) return;
    shown = next;
    const isTyping = field !== '';
    const goesOn = isTyping && field === typedIn;
    typedIn = field;
    if (goesOn) history.replaceState(null, '', address(shown));
    else history.pushState(null, '', address(shown));
    showFilters();
    clearTimeout(typing);
    typing = setTimeout(join, isTyping ? 300 : 0);
}

addEventListener('popstate', () => {
    shown = fromAddress();
    typedIn = '';
    showFilters();
    join();
});

const fields = ['provider', 'model', 'min', 'errors', 'level', 'component', 'q'];
const field = (/** @type {string} */ name) => $(`[name="${name}"]`);

function showFilters() {
    for (const name of fields) {
        const [input, value] = [field(name), shown[/** @type {keyof Shown} */ (name)]];
        if (input.type === 'checkbox') input.checked = value !== '';
        else if (input.tagName === 'SELECT') choose(input, value);
        else if (input.value !== value && !(document.activeElement === input && input.value.trim() === value)) input.value = value;
        input.classList.toggle('is-set', value !== '');
    }
    for (const button of $('#windows').children) button.setAttribute('aria-pressed', String(button.value === shown.window));
}

/**
 * A value that no option has yet (its name is not known) gets one.
 * @param {HTMLSelectElement} select @param {string} value
 */
function choose(select, value) {
    if (![...select.options].some((option) => option.value === value)) select.add(new Option(value, value));
    select.value = value;
}

for (const name of fields) {
    const input = field(name);
    const value = () => input.type === 'checkbox' ? (input.checked ? '1' : '') : input.value.trim();
    if (input.type === 'checkbox' || input.tagName === 'SELECT') input.addEventListener('change', () => change({[name]: value()}));
    else {
        input.addEventListener('input', () => { if (input.validity.valid) change({[name]: value()}, name); });
        input.addEventListener('blur', () => { typedIn = ''; });
        input.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => { if (event.key === 'Enter') { clearTimeout(typing); join(); } });
    }
}
for (const button of $('#windows').children) button.addEventListener('click', () => change({window: button.value}));

// MARK: the connection

/** @type {MessagePort} */ let port;
let token = sessionStorage.getItem('goleapai-token') ?? '';
let isShared = false;
let joined = '';

function join() {
    const view = filters(shown);
    const key = JSON.stringify([token, view]);
    if (!port || key === joined) return;
    if (joined && JSON.parse(joined)[1].stats.window !== shown.window) {
        model.stats = null;
        model.figures = [];
    }
    // What the connection of another token was told is not about this one.
    if (joined && JSON.parse(joined)[0] !== token) model.state = {name: 'connecting', reason: ''};
    joined = key;
    port.postMessage({kind: 'join', view, token});
}

function alive() { port?.postMessage({kind: 'alive', view: filters(shown), token}); }

openFeeds().then((found) => {
    port = found.port;
    isShared = found.isShared;
    port.onmessage = ({data}) => {
        if (data.kind === 'snapshot') {
            model.restore(data);
            for (const list of lists) list.reset();
        } else if (data.kind === 'batch') {
            for (const message of data.messages) {
                model.apply(message);
                if (message.type === '$replay') for (const list of lists) list.reset();
            }
        }
        changed();
    };
    port.start?.();
    join();
    setInterval(alive, 25_000);
    addEventListener('pagehide', () => port.postMessage({kind: 'leave'}));
    addEventListener('pageshow', alive);
    document.addEventListener('visibilitychange', () => {
        if (document.visibilityState !== 'visible') return;
        alive();
        port.postMessage({kind: 'wake'});
        askReady();
    });
    addEventListener('online', () => port.postMessage({kind: 'wake'}));
});

/** @type {any} The sources as the daemon judges them. */ let ready = null;
async function askReady() {
    if (document.visibilityState !== 'visible') return;
    try {
        ready = await (await fetch('ready', {cache: 'no-store'})).json();
    } catch {
        ready = null;
    }
    changed();
}
askReady();
setInterval(askReady, 10_000);

// MARK: who one is

const ask = $('#ask');
function askForToken(/** @type {string} */ why) {
    say($('#ask-why'), why);
    if (ask.open) return;
    ask.showModal();
}
ask.querySelector('form').addEventListener('submit', (/** @type {Event} */ event) => {
    event.preventDefault();
    token = field('token').value.trim();
    field('token').value = '';
    if (!token) return;
    sessionStorage.setItem('goleapai-token', token);
    ask.close();
    join();
});
$('#again').addEventListener('click', () => {
    if (model.state.needsToken) askForToken(model.state.reason);
    else port?.postMessage({kind: 'start'});
});

// MARK: rows

/** @param {any} event */
const hole = ({timestamp, data}) => `${preciseTime(timestamp)}  ▲ gap: ${data.dropped !== undefined ? `${number(data.dropped)} events are missing` : 'events are missing'} (${
    data.reason.replace('_', ' ')}${data.from ? `, from ${time(Date.parse(data.from))}` : ''}${data.until ? ` until ${time(Date.parse(data.until))}` : ''})`;

const text = (/** @type {any} */ value) => typeof value === 'string' ? value : value === undefined || value === null ? '' : JSON.stringify(value);

const requests = new RowList($('#requests'), model.requests, (row, event) => {
    if (event.type === 'gap') return cells(row, 'gap', [['', hole(event)]]);
    const {data} = event;
    cells(row, data.success === false ? 'failed' : '', [
        ['dim', preciseTime(event.timestamp)], ['code', text(data.status_code)], ['', text(data.model_name || data.model_id)],
        ['dim', data.success === false && data.error_message ? `${text(data.provider_name)} · ${text(data.error_message)}` : text(data.provider_name)],
        ['number', duration(Number(data.latency_ms) || 0).join(' ')],
        ['number dim', data.success === false ? '' : `${number((data.input_tokens ?? 0) + (data.output_tokens ?? 0))} tok`],
    ]);
}, open);

const logs = new RowList($('#logs'), model.logs, (row, event) => {
    if (event.type === 'gap') return cells(row, 'gap', [['', hole(event)]]);
    const data = event.data && typeof event.data === 'object' ? event.data : {};
    const level = text(data.level) || 'info';
    // Of another type than log: what it is, and all of it.
    const message = event.type === 'log' || typeof data.message === 'string' ? text(data.message) : `${event.type} ${text(event.data)}`;
    const more = data.fields && typeof data.fields === 'object' ? Object.entries(data.fields).slice(0, 12).map(([key, value]) => `${key}=${text(value)}`).join(' ') : '';
    cells(row, '', [
        ['dim', preciseTime(event.timestamp)], [level.toLowerCase(), level], ['dim', text(data.component)], ['', message.slice(0, 1000)],
        ...(more ? [/** @type {[string, string]} */ (['dim', more.slice(0, 500)])] : []),
    ]);
}, open);
const lists = [requests, logs];

/** @param {any} event */
function open(event) {
    say($('#detail-title'), `${event.type} ${event.id ?? ''}`);
    // As it came: not with what the feed adds to a gap.
    const {lostAt, ...whole} = event;
    say($('#detail pre'), JSON.stringify(whole, null, 2));
    $('#detail').showModal();
}

// MARK: looks

const tiles = {
    rate: new Tile($('#tiles'), 'Requests / min', 'Of the window'), success: new Tile($('#tiles'), 'Success'), errors: new Tile($('#tiles'), 'Errors'),
    p50: new Tile($('#tiles'), 'Latency p50'), p95: new Tile($('#tiles'), 'Latency p95'), p99: new Tile($('#tiles'), 'Latency p99'),
    tokens: new Tile($('#tiles'), 'Tokens'), cost: new Tile($('#tiles'), 'Cost', 'Estimated'),
};
const rateChart = new RateChart($('#rate'));
const latencyChart = new LatencyChart($('#latency'));
const cards = new ProviderCards($('#cards'), (id) => change({provider: shown.provider === id ? '' : id}));
let isPaused = false;

function showTiles() {
    const {stats, figures} = model;
    const past = (/** @type {string} */ key) => figures.map((one) => Number(one[key]) || 0);
    if (!stats) {
        for (const tile of Object.values(tiles)) tile.show('–', '', '', []);
        return;
    }
    const share = stats.success_rate;
    const mood = !stats.total_requests || share >= 0.98 ? '' : share >= 0.9 ? 'warn' : 'bad';
    tiles.rate.show(number(stats.requests_per_min), '', `${number(stats.total_requests)} in ${stats.time_window}`, past('requests_per_min'));
    tiles.success.show(stats.total_requests ? percent(share) : '–', stats.total_requests ? '%' : '', `of ${number(stats.total_requests)}`, past('success_rate'), mood);
    tiles.errors.show(number(stats.error_count), '', stats.total_requests ? `${percent(stats.error_count / stats.total_requests)} %` : '', past('error_count'), stats.error_count ? mood : '');
    for (const key of /** @type {const} */ (['p50', 'p95', 'p99'])) {
        const [value, unit] = duration(stats[`latency_${key}_ms`]);
        tiles[key].show(value, unit, key === 'p50' ? `mean ${duration(stats.avg_latency_ms).join(' ')}` : '', past(`latency_${key}_ms`));
    }
    tiles.tokens.show(number(stats.total_tokens), '', `${number(stats.input_tokens)} in · ${number(stats.output_tokens)} out`, past('total_tokens'));
    const perRequest = stats.total_requests ? `$${(1000 * stats.estimated_cost / stats.total_requests).toFixed(2)} per 1,000` : '';
    tiles.cost.show(`$${stats.estimated_cost < 100 ? stats.estimated_cost.toFixed(2) : number(stats.estimated_cost)}`, '', perRequest, past('estimated_cost'));
}

function showCharts(/** @type {number} */ now) {
    // As much as has been seen, up to 5 minutes.
    const known = now / 1000 - (model.series.since ?? now / 1000);
    const width = shown.window === '1m' || known <= 60 ? 1 : known <= 120 ? 2 : 5;
    const [count, span] = [60, 60 * width];
    // The bucket that has begun is not over: a whole one further to the left would only jump up later.
    const last = Math.floor(now / 1000 / width) * width - 1;
    const buckets = model.series.buckets(last, width, count);
    const begin = last - span + 1;
    const times = [0, 1, 2].map((part) => time((begin + part * span / 2) * 1000));
    const x = (/** @type {number} */ second) => 1000 * (second - begin) / span;
    const holes = model.gaps.map(({from, until}) => [from, until]);
    if (model.lostAt !== null) holes.push([model.lostAt + model.link.clockOffset, now]);
    /** @type {[number, number][]} */ const missed = [];
    for (const [from, until] of holes) {
        const [left, right] = [Math.max(0, x(from / 1000)), Math.min(1000, x(until / 1000))];
        if (left < right) missed.push([left, right]);
    }
    $('#rate .missed').hidden = missed.length === 0;
    const seen = model.series.since === null ? 1000 : Math.max(0, x(model.series.since));
    rateChart.show(buckets, width, times);
    latencyChart.show(buckets, times);
    const filter = [
        shown.provider && (model.providers.get(shown.provider)?.name ?? 'one provider'), shown.model && 'one model', shown.errors && 'errors only', shown.min && `from ${shown.min} ms`,
    ].filter(Boolean).join(', ');
    const note = `${span / 60} min${filter ? ` · ${filter}` : ''}`;
    for (const chart of [rateChart, latencyChart]) {
        chart.areas(seen, missed);
        say(chart.note, note);
    }
}

function showProviders(/** @type {number} */ now) {
    const rank = (/** @type {string} */ status) => ['unhealthy', 'degraded'].indexOf(status) + 1 || 3;
    const all = [...model.providers.values()].sort((a, b) => rank(a.status) - rank(b.status) || a.name.localeCompare(b.name) || a.id.localeCompare(b.id));
    cards.show(all, model.stats, shown.provider, now, model.lostAt ?? now);
    const bad = all.filter(({status}) => status !== 'healthy').length;
    say($('#providers-note'), all.length ? `${all.length - bad} of ${all.length} healthy · last 15 minutes` : 'none yet');
    const chosen = shown.provider && (model.providers.get(shown.provider)?.name ?? 'one provider');
    $('#logs-of').hidden = !chosen;
    say($('#logs-of'), chosen);
    options(field('provider'), shown.provider, all.map(({id, name}) => [id, name]));
    options(field('model'), shown.model, (model.stats?.model_stats ?? []).map((/** @type {any} */ row) => [row.model_id, row.model_name || row.model_id]));
}

/** @param {HTMLSelectElement} select @param {string} chosen @param {[string, string][]} wanted */
function options(select, chosen, wanted) {
    const known = new Map([...select.options].map((option) => [option.value, option]));
    for (const [value, label] of [...wanted].sort((a, b) => a[1].localeCompare(b[1]))) {
        const option = known.get(value);
        if (!option) select.add(new Option(label, value, false, value === chosen));
        else if (option.text !== label) option.text = label;
    }
}

function showState(/** @type {number} */ now) {
    const {state} = model;
    const left = Math.max(0, Math.ceil(((state.retryAt ?? now) - now) / 1000));
    const words = /** @type {Record<string, string>} */ ({
        idle: 'Starting', connecting: model.lostAt === null ? 'Connecting' : 'Reconnecting', stopped: `Stopped: ${state.reason}`,
        waiting: `Offline: ${state.reason}`, open: model.isLive ? (isPaused ? 'Paused' : 'Live') : 'Catching up',
    });
    const pill = $('#state');
    say(pill, words[state.name]);
    pill.title = words[state.name];
    pill.dataset.state = state.name === 'open' ? (isPaused ? 'paused' : model.isLive ? 'live' : 'connecting') : state.name;
    // Also where nothing but the tab's name is seen.
    const title = state.name === 'open' && model.isLive && !isPaused ? 'GoLeapAI live' : `${words[state.name]} · GoLeapAI live`;
    if (document.title !== title) document.title = title;
    // Figures of before are not those of now.
    $('main').classList.toggle('is-old', state.name !== 'open');
    $('#again').hidden = state.name !== 'stopped' && state.name !== 'waiting';
    say($('#again'), state.needsToken ? 'Give a token' : 'Connect now');
    if (state.needsToken && !document.querySelector('dialog[open]') && joined && JSON.parse(joined)[0] === token && askedFor !== joined + state.reason) {
        askedFor = joined + state.reason;
        askForToken(token ? state.reason : 'This gateway asks who one is.');
    }
    // Not in the state itself, which is read aloud when it changes.
    const lag = state.name === 'waiting' ? (left ? `again in ${left} s` : '') : model.lag === null || !model.isLive ? '' : `lag ${duration(model.lag).join(' ')}`;
    say($('#lag'), lag);
    $('#lag').classList.toggle('is-late', state.name === 'open' && (model.lag ?? 0) > 5000);
    const notice = $('#notice');
    const problem = model.problem;
    notice.hidden = !problem;
    say(notice, problem);
    logs.empty.textContent = model.forbidden.has('logs') ? 'The logs are for admins' : empty(shown.level || shown.component || shown.q || shown.provider, 'log lines');
    requests.empty.textContent = model.forbidden.has('requests') ? 'The requests are not for this user' : empty(shown.provider || shown.model || shown.errors || shown.min, 'requests');
}
let askedFor = '';
const empty = (/** @type {string} */ filter, /** @type {string} */ what) =>
    model.state.name !== 'open' ? 'Not connected' : !model.isLive ? 'Loading' : filter ? `No ${what} that match, so far` : `No ${what} yet`;

let facts = '';
function showFacts() {
    const {link, gaps, reconnects} = model;
    /** @type {[string, string, string][]} */ const all = [
        ['', 'position', link.position ?? '–'], ['', 'round trip', link.roundTrip === null ? '–' : `${Math.round(link.roundTrip)} ms`],
        ['', 'events', number(model.events)], [reconnects ? 'warn' : '', 'reconnects', String(reconnects)],
        [gaps.length ? 'warn' : '', 'gaps', gaps.length ? `${gaps.length}${gaps.length === 50 ? '+' : ''}, last ${time(gaps[gaps.length - 1].at)} ${gaps[gaps.length - 1].data.reason.replace('_', ' ')} (${
            gaps[gaps.length - 1].data.channels.join(', ')})` : '0'],
    ];
    if (link.doubles) all.push(['bad', 'doubles', String(link.doubles)]);
    all.push(['', 'socket', isShared ? `shared by ${link.tabs === 1 ? '1 tab' : `${link.tabs} tabs`}` : 'of this tab']);
    for (const source of ready?.sources ?? []) {
        if (source.state !== 'working') all.push([source.state === 'failing' ? 'bad' : 'warn', source.name, `${source.state}${source.why ? `: ${source.why}` : ''}`]);
    }
    if (ready?.draining) all.push(['warn', 'daemon', 'stopping']);
    const key = JSON.stringify(all);
    if (key === facts) return;
    facts = key;
    $('#facts').replaceChildren(...all.map(([mood, name, value]) => {
        const item = make('span', mood, `${name} `);
        item.append(make('b', '', value));
        return item;
    }));
}

/** At most one drawing per frame, and the charts once a second at most, whatever comes. */
let isDue = false;
let chartsAt = 0;
function changed() {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
        isDue = false;
        show();
    });
}
function show() {
    const now = Date.now();
    showState(now);
    showFacts();
    for (const list of lists) list.show();
    if (isPaused) return;
    showTiles();
    if (now - chartsAt < 900) return;
    chartsAt = now;
    showCharts(now + model.link.clockOffset);
    showProviders(now + model.link.clockOffset);
}
setInterval(() => { if (document.visibilityState === 'visible') changed(); }, 1000);
addEventListener('resize', () => { for (const list of lists) list.resize(); });

// MARK: buttons and keys

function pause() {
    isPaused = !isPaused;
    $('#pause').setAttribute('aria-pressed', String(isPaused));
    say($('#pause'), isPaused ? 'Go on' : 'Pause');
    for (const list of lists) list.pause(isPaused);
    show();
}
$('#pause').addEventListener('click', pause);

function theme() {
    const isDark = (document.documentElement.dataset.theme ?? (matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark')) === 'dark';
    document.documentElement.dataset.theme = isDark ? 'light' : 'dark';
    localStorage.setItem('goleapai-theme', isDark ? 'light' : 'dark');
}
const chosenTheme = localStorage.getItem('goleapai-theme');
if (chosenTheme === 'dark' || chosenTheme === 'light') document.documentElement.dataset.theme = chosenTheme;
$('#theme').addEventListener('click', theme);

/** @type {[string, string, () => void][]} */
const KEYS = [
    ['?', 'this list', () => $('#keys').showModal()],
    ['p', 'pause, go on', pause],
    ['/', 'search in the logs', () => field('q').focus()],
    ['e', 'errors only: requests', () => change({errors: shown.errors ? '' : '1'})],
    ['l', 'level of the logs: all, warn, error', () => change({level: {'': 'warn', warn: 'error'}[shown.level] ?? ''})],
    ['1', 'window of 1 minute', () => change({window: '1m'})],
    ['2', '5 minutes', () => change({window: '5m'})],
    ['3', '1 hour', () => change({window: '1h'})],
    ['4', '24 hours', () => change({window: '24h'})],
    ['c', 'clear all filters', () => change({...DEFAULTS, window: shown.window})],
    ['r', 'to the requests: j, k choose, Enter opens, g to the newest', () => requests.scroller.focus()],
    ['o', 'to the logs', () => logs.scroller.focus()],
    ['t', 'dark or light', theme],
];
for (const [key, what] of [...KEYS.map(([key, what]) => [key, what]), ['Esc', 'close, leave a field']]) {
    const term = make('dt');
    term.append(make('kbd', '', key));
    $('#keys dl').append(term, make('dd', '', what));
}
$('#help').addEventListener('click', () => $('#keys').showModal());
addEventListener('keydown', (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName) && /** @type {any} */ (target).type !== 'checkbox') {
        if (event.key === 'Escape') target.blur();
        return;
    }
    const found = KEYS.find(([key]) => key === event.key);
    if (!found) return;
    event.preventDefault();
    found[2]();
});

showFilters();
show();
