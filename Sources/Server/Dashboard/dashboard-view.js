// How it looks: tiles, charts, cards of providers, and lists of thousands of rows. Texts are set as texts, never as HTML.

const SVG = 'http://www.w3.org/2000/svg';

/**
 * An element with a class and a text.
 * @param {string} name @param {string} [className] @param {string} [text]
 */
export function make(name, className, text) {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
}

/** @param {string} name @param {Record<string, string>} attributes */
function draw(name, attributes) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
}

/**
 * Sets a text only where it changes: what does not change costs no layout.
 * @param {Element} element @param {string} text
 */
export function say(element, text) { if (element.textContent !== text) element.textContent = text; }

const whole = new Intl.NumberFormat('en');
const compact = new Intl.NumberFormat('en', {notation: 'compact', maximumSignificantDigits: 3});
/** @param {number} count */
export const number = (count) => count < 100_000 ? whole.format(Math.round(count)) : compact.format(count);
/** @param {number} ms @returns {[string, string]} */
export const duration = (ms) => ms < 9_999.5 ? [whole.format(Math.round(ms)), 'ms'] : [(ms / 1000).toFixed(ms < 100_000 && ms % 1000 ? 1 : 0), 's'];
/**
 * Of what goes on for so long, in whole units.
 * @param {number} ms
 */
export const age = (ms) => ms < 60_000 ? `${Math.max(0, Math.floor(ms / 1000))} s` : ms < 3_600_000 ? `${Math.floor(ms / 60_000)} min` : `${Math.floor(ms / 3_600_000)} h`;
/** @param {number} share */
export const percent = (share) => share >= 0.9995 || share === 0 ? `${Math.round(share * 100)}` : (share * 100).toFixed(1);
const clock = new Intl.DateTimeFormat('en', {hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23'});
/** @param {number} at */
export const time = (at) => Number.isFinite(at) ? clock.format(at) : '–';
/** @param {string} timestamp */
export const preciseTime = (timestamp) => {
    const at = Date.parse(timestamp);
    return Number.isFinite(at) ? `${clock.format(at)}.${String(at % 1000).padStart(3, '0')}` : '–';
};

/** One figure, and how it went. */
export class Tile {
    /** @param {Element} parent @param {string} title @param {string} [hint] */
    constructor(parent, title, hint) {
        this.element = make('dl', 'tile');
        if (hint) this.element.title = hint;
        this.value = make('dd', 'value', '–');
        this.more = make('dd', 'more', '');
        this.line = draw('path', {});
        const curve = draw('svg', {viewBox: '0 0 100 18', preserveAspectRatio: 'none', 'aria-hidden': 'true'});
        curve.append(this.line);
        this.element.append(make('dt', '', title), this.value, this.more, curve);
        parent.append(this.element);
    }

    /** @param {string} value @param {string} unit @param {string} more @param {number[]} past @param {'' | 'warn' | 'bad'} [mood] */
    show(value, unit, more, past, mood = '') {
        const all = value + unit;
        if (this.value.textContent !== all) {
            this.value.textContent = value;
            if (unit) this.value.append(make('small', '', unit));
        }
        say(this.more, more);
        this.element.classList.toggle('warn', mood === 'warn');
        this.element.classList.toggle('bad', mood === 'bad');
        const [least, most] = [Math.min(...past), Math.max(...past)];
        const step = 100 / Math.max(1, past.length - 1);
        this.line.setAttribute('d', past.length < 2 ? '' : `M${past.map((one, index) =>
            `${(index * step).toFixed(1)} ${(most === least ? 14 : 17 - 15 * (one - least) / (most - least)).toFixed(1)}`).join('L')}`);
    }
}

/** Axes and areas that both charts have. */
class Chart {
    /** @param {Element} figure @param {string[]} layers classes of paths, from the back to the front */
    constructor(figure, layers) {
        this.figure = figure;
        this.note = /** @type {Element} */ (figure.querySelector('[data-note]'));
        this.plot = make('div', 'plot');
        this.svg = draw('svg', {viewBox: '0 0 1000 100', preserveAspectRatio: 'none', role: 'img'});
        /** @type {Record<string, Element>} */ this.paths = {};
        for (const layer of ['unseen', 'grid', 'lost', ...layers]) {
            this.paths[layer] = draw('path', {class: layer});
            this.svg.append(this.paths[layer]);
        }
        this.plot.append(this.svg);
        /** @type {HTMLElement[]} */ this.labels = [];
        figure.append(this.plot);
    }

    /** @param {[number, string][]} marks height 0…100 from the top, and its text @param {string[]} times along the bottom */
    axes(marks, times) {
        this.paths.grid.setAttribute('d', marks.map(([y]) => `M0 ${y.toFixed(2)}H1000`).join(''));
        let used = 0;
        const label = (/** @type {string} */ kind, /** @type {string} */ text, /** @type {'top' | 'left'} */ side, /** @type {number} */ at) => {
            const element = this.labels[used] ?? this.plot.appendChild(make('span'));
            this.labels[used++] = element;
            element.className = kind;
            element.style[side === 'top' ? 'left' : 'top'] = '';
            element.style[side] = `${at}%`;
            say(element, text);
        };
        for (const [y, text] of marks) label('y', text, 'top', y);
        times.forEach((text, index) => label('x', text, 'left', 100 * index / (times.length - 1)));
        for (const extra of this.labels.splice(used)) extra.remove();
    }

    /**
     * What was not seen, on the left, and what was missed.
     * @param {number} seenFrom 0…1000 @param {[number, number][]} holes
     */
    areas(seenFrom, holes) {
        this.paths.unseen.setAttribute('d', seenFrom > 0 ? `M0 0H${Math.min(seenFrom, 1000).toFixed(1)}V100H0Z` : '');
        this.paths.lost.setAttribute('d', holes.map(([from, until]) => `M${from.toFixed(1)} 0H${until.toFixed(1)}V100H${from.toFixed(1)}Z`).join(''));
    }
}

/**
 * The next of 1, 1.5, 2, 3, 4, 6, 8, 10, 15 …
 * @param {number} least
 */
function roundUp(least) {
    const ten = 10 ** Math.floor(Math.log10(Math.max(least, 1e-9)));
    return [1, 1.5, 2, 3, 4, 6, 8, 10].map((one) => one * ten).find((one) => one >= least * 0.9999) ?? ten * 10;
}

/** @typedef {{begin: number, ok: number, failed: number, p50: number, p95: number, slowest: number}} Bucket */

/** Requests per second, failed ones on top. */
export class RateChart extends Chart {
    /** @param {Element} figure */
    constructor(figure) { super(figure, ['ok', 'failed']); }

    /** @param {Bucket[]} buckets @param {number} width seconds of one @param {string[]} times */
    show(buckets, width, times) {
        const most = roundUp(Math.max(1, ...buckets.map((one) => (one.ok + one.failed) / width)));
        const step = 1000 / buckets.length;
        let [ok, failed] = ['', ''];
        buckets.forEach((one, index) => {
            const good = 100 * one.ok / width / most;
            const bad = 100 * one.failed / width / most;
            const x = (index * step + step * 0.1).toFixed(1);
            const wide = (step * 0.8).toFixed(1);
            if (good) ok += `M${x} ${(100 - good).toFixed(2)}h${wide}V100h-${wide}Z`;
            if (bad) failed += `M${x} ${(100 - good - bad).toFixed(2)}h${wide}V${(100 - good).toFixed(2)}h-${wide}Z`;
        });
        this.paths.ok.setAttribute('d', ok);
        this.paths.failed.setAttribute('d', failed);
        this.axes([[0, `${compact.format(most)}/s`], [50, compact.format(most / 2)], [100, '0']], times);
        const [all, wrong] = buckets.reduce(([a, w], one) => [a + one.ok + one.failed, w + one.failed], [0, 0]);
        this.svg.setAttribute('aria-label', `${all} requests in ${buckets.length * width} seconds, ${wrong} failed`);
    }
}

/** How long requests take, on a logarithmic scale. */
export class LatencyChart extends Chart {
    /** @param {Element} figure */
    constructor(figure) { super(figure, ['dots', 'line p95', 'line p50']); }

    /** @param {Bucket[]} buckets @param {string[]} times */
    show(buckets, times) {
        const some = buckets.filter((one) => one.slowest);
        const low = 10 ** Math.floor(Math.log10(Math.max(1, Math.min(...some.map((one) => one.p50), 1000))));
        const high = Math.max(low * 10, roundUp(1.1 * Math.max(...some.map((one) => one.slowest), 900)));
        const y = (/** @type {number} */ ms) => 100 - 100 * Math.log(Math.max(ms, low) / low) / Math.log(high / low);
        const step = 1000 / buckets.length;
        const line = (/** @type {'p50' | 'p95'} */ key) => {
            let [path, isDown] = ['', false];
            buckets.forEach((one, index) => {
                if (one.slowest) path += `${isDown ? 'L' : 'M'}${((index + 0.5) * step).toFixed(1)} ${y(one[key]).toFixed(2)}${isDown ? '' : 'h0.1'}`;
                isDown = one.slowest > 0;
            });
            return path;
        };
        this.paths['line p50'].setAttribute('d', line('p50'));
        this.paths['line p95'].setAttribute('d', line('p95'));
        this.paths.dots.setAttribute('d', buckets.map((one, index) =>
            one.slowest ? `M${((index + 0.5) * step).toFixed(1)} ${y(one.slowest).toFixed(2)}h0.01` : '').join(''));
        /** @type {[number, string][]} */ const marks = [];
        for (let ms = low; ms <= high * 1.001; ms *= 10) marks.push([y(ms), ms < 1000 ? `${ms} ms` : `${whole.format(ms / 1000)} s`]);
        this.axes(marks, times);
        const last = some.at(-1);
        this.svg.setAttribute('aria-label', last ? `now half take up to ${Math.round(last.p50)} ms, 95 % up to ${Math.round(last.p95)} ms` : 'no requests yet');
    }
}

/** A shape for each state, for those who do not see the colours; what is not healthy is said in words as well. */
const SHAPES = /** @type {Record<string, string>} */ ({healthy: '●', degraded: '▲', unhealthy: '✖'});

/** Cards of the providers, with what their state was in the last quarter of an hour. */
export class ProviderCards {
    static SPAN = 900_000;
    /** @type {Map<string, {item: Element, button: HTMLButtonElement, name: Element, status: Element, numbers: Element, message: Element, strip: Element}>} */ #cards = new Map();

    /** @param {Element} list @param {(id: string) => void} choose */
    constructor(list, choose) {
        this.list = list;
        this.choose = choose;
    }

    /** @param {import('./dashboard-model.js').Provider[]} providers @param {any} stats @param {string} chosen @param {number} now @param {number} until */
    show(providers, stats, chosen, now, until) {
        const rows = new Map((stats?.provider_stats ?? []).map((/** @type {any} */ row) => [row.provider_id, row]));
        const present = new Set(providers.map(({id}) => id));
        for (const [id, card] of this.#cards) {
            if (present.has(id)) continue;
            card.item.remove();
            this.#cards.delete(id);
        }
        for (const [index, provider] of providers.entries()) {
            let card = this.#cards.get(provider.id);
            if (!card) {
                const item = make('li');
                const button = /** @type {HTMLButtonElement} */ (make('button'));
                button.type = 'button';
                button.addEventListener('click', () => this.choose(provider.id));
                const head = make('span', 'name');
                const strip = draw('svg', {viewBox: '0 0 1000 7', preserveAspectRatio: 'none', 'aria-hidden': 'true'});
                card = {item, button, name: make('span'), status: make('span', 'status'), numbers: make('span', 'numbers'), message: make('span', 'message'), strip};
                card.status.setAttribute('role', 'img');
                for (const state of Object.keys(SHAPES)) strip.append(draw('path', {class: state}));
                head.append(card.name, card.status);
                button.append(head, card.numbers, card.message, strip);
                item.append(button);
                this.#cards.set(provider.id, card);
            }
            if (this.list.children[index] !== card.item) this.list.insertBefore(card.item, this.list.children[index] ?? null);
            const row = /** @type {any} */ (rows.get(provider.id));
            card.button.className = provider.status in SHAPES ? provider.status : '';
            card.button.title = `${provider.name}: ${provider.status}. Show only its requests and logs`;
            card.button.setAttribute('aria-pressed', String(chosen === provider.id));
            say(card.name, provider.name);
            say(card.status, SHAPES[provider.status] ?? '');
            card.status.setAttribute('aria-label', provider.status);
            say(card.numbers, row ? `${number(row.requests)} req, ${percent(row.success_rate)} %, ${duration(row.avg_latency_ms).join(' ')}` : `no requests in ${stats?.time_window ?? 'the window'}`);
            const since = provider.past.at(-1)?.at ?? now;
            say(card.message, [provider.status === 'healthy' ? '' : `${provider.status} for ${age(now - since)}`, provider.message].filter(Boolean).join(': '));
            card.message.setAttribute('title', provider.message);
            for (const path of card.strip.children) {
                const state = path.getAttribute('class');
                let d = '';
                provider.past.forEach((one, index) => {
                    if (one.status !== state) return;
                    const x = (/** @type {number} */ at) => Math.min(1000, Math.max(0, 1000 * (1 - (now - at) / ProviderCards.SPAN)));
                    const [from, to] = [x(one.at), x(provider.past[index + 1]?.at ?? until)];
                    if (to > from) d += `M${from.toFixed(1)} 0H${to.toFixed(1)}V7H${from.toFixed(1)}Z`;
                });
                path.setAttribute('d', d);
            }
        }
    }
}

/** A list that has elements for the rows in sight only, the newest at the top. While it is scrolled away from the top, or paused, it stands still. */
export class RowList {
    /** @type {HTMLElement[]} Row number n is in element n mod so many, so that it is filled once and then only moves. */ #pool = [];
    /** @type {number[]} The row that an element was filled with; -1: none. */ #filled = [];
    /** @type {number | null} How many there were when it began to stand still; null: it follows. */ #frozenAt = null;
    isPaused = false;
    /** @type {number | null} The chosen row, counted from the first that ever was. */ #chosen = null;
    #rowHeight = 0;
    #drawn = '';

    /**
     * @param {HTMLElement} section @param {import('./dashboard-model.js').Tail<any>} tail
     * @param {(row: HTMLElement, item: any) => void} fill @param {(item: any) => void} open
     */
    constructor(section, tail, fill, open) {
        this.tail = tail;
        this.fill = fill;
        this.open = open;
        this.scroller = /** @type {HTMLElement} */ (section.querySelector('.rows'));
        this.button = /** @type {HTMLButtonElement} */ (section.querySelector('.new'));
        this.all = make('div', 'all');
        this.all.setAttribute('role', 'rowgroup');
        this.empty = make('p', 'empty');
        this.scroller.append(this.all, this.empty);
        this.scroller.addEventListener('scroll', () => {
            if (this.scroller.scrollTop < 1) this.#thaw();
            else this.#frozenAt ??= this.tail.added;
            this.show();
        }, {passive: true});
        this.scroller.addEventListener('keydown', (event) => this.#key(event));
        this.scroller.addEventListener('click', (event) => {
            const row = /** @type {HTMLElement} */ (/** @type {Element} */ (event.target).closest('.row'));
            if (!row) return;
            this.#chosen = Number(row.dataset.at);
            this.show(true);
            this.#openChosen();
        });
        this.button.addEventListener('click', () => this.toTop());
        this.resize();
    }

    #thaw() { if (!this.isPaused) this.#frozenAt = null; }

    /** @param {boolean} wanted */
    pause(wanted) {
        this.isPaused = wanted;
        if (wanted) this.#frozenAt ??= this.tail.added;
        else if (this.scroller.scrollTop < 1) this.#frozenAt = null;
        this.show(true);
    }

    toTop() {
        this.#chosen = null;
        this.scroller.scrollTop = 0;
        this.#frozenAt = this.isPaused ? this.tail.added : null;
        this.show(true);
    }

    /** Everything was replaced: numbers of rows begin anew, so that what they were filled with says nothing. */
    reset() {
        this.#filled.fill(-1);
        this.#chosen = null;
        this.#frozenAt = this.isPaused ? 0 : null;
        this.scroller.scrollTop = 0;
        this.show(true);
    }

    resize() {
        this.#rowHeight = parseFloat(getComputedStyle(document.documentElement).getPropertyValue('--row')) || 24;
        this.show(true);
    }

    /** Rows that came since it stands still. */
    get behind() { return this.#frozenAt === null ? 0 : Math.max(0, this.tail.added - this.#frozenAt); }

    /** @param {boolean} [isForced] */
    show(isForced = false) {
        if (this.#frozenAt !== null && this.#frozenAt > this.tail.added) this.#frozenAt = this.tail.added;
        const behind = this.behind;
        this.button.hidden = behind === 0;
        say(this.button, behind ? `↑ ${number(behind)} new` : '');
        const newest = this.tail.added - behind;
        const [top, height] = [this.scroller.scrollTop, this.scroller.clientHeight];
        const key = `${newest} ${top} ${height}`;
        if (!isForced && key === this.#drawn) return;
        this.#drawn = key;
        const count = Math.max(0, this.tail.length - behind);
        this.empty.hidden = count > 0;
        this.all.style.height = `${count * this.#rowHeight}px`;
        this.scroller.setAttribute('aria-rowcount', String(count));
        const inSight = Math.ceil(height / this.#rowHeight) + 8;
        const first = Math.max(0, Math.floor(top / this.#rowHeight) - 4);
        const last = Math.min(count, first + inSight);
        if (this.#pool.length < inSight) {
            this.#filled.fill(-1);
            while (this.#pool.length < inSight) this.#newRow();
        }
        const size = this.#pool.length;
        for (let index = first; index < last; index++) {
            const at = newest - 1 - index;
            const [row, filled] = [this.#pool[at % size], this.#filled[at % size]];
            if (filled !== at || isForced) {
                this.#filled[at % size] = at;
                row.dataset.at = String(at);
                this.fill(row, this.tail.at(index + behind));
            }
            row.classList.toggle('is-chosen', at === this.#chosen);
            row.setAttribute('aria-selected', String(at === this.#chosen));
            row.setAttribute('aria-rowindex', String(index + 1));
            row.style.transform = `translateY(${index * this.#rowHeight}px)`;
        }
        const [oldest, youngest] = [newest - last, newest - 1 - first];
        this.#pool.forEach((row, slot) => { row.hidden = this.#filled[slot] < oldest || this.#filled[slot] > youngest || last <= first; });
    }

    #newRow() {
        const row = make('div', 'row');
        row.setAttribute('role', 'row');
        row.id = `${this.scroller.parentElement?.id}-row-${this.#pool.length}`;
        this.#pool.push(row);
        this.#filled.push(-1);
        this.all.append(row);
    }

    #openChosen() {
        if (this.#chosen === null) return;
        const item = this.tail.at(this.tail.added - 1 - this.#chosen);
        if (item) this.open(item);
    }

    /**
     * Chooses the row that is so many further down.
     * @param {number} steps
     */
    move(steps) {
        const newest = this.tail.added - this.behind - 1;
        const present = this.#chosen === null ? -1 : newest - this.#chosen;
        const index = Math.min(Math.max(0, present + steps), Math.max(0, this.tail.length - this.behind - 1));
        // What is being looked at stands still.
        this.#frozenAt ??= this.tail.added;
        this.#chosen = newest - index;
        const [top, height] = [index * this.#rowHeight, this.scroller.clientHeight];
        if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
        else if (top + this.#rowHeight > this.scroller.scrollTop + height) this.scroller.scrollTop = top + this.#rowHeight - height;
        this.show(true);
        const row = this.#pool.find((one) => !one.hidden && one.dataset.at === String(this.#chosen));
        if (row) this.scroller.setAttribute('aria-activedescendant', row.id);
    }

    /** @param {KeyboardEvent} event */
    #key(event) {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.#rowHeight) - 1);
        const steps = {ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page}[event.key];
        if (steps !== undefined) this.move(steps);
        else if (event.key === 'Enter') this.#openChosen();
        else if (event.key === 'Home' || event.key === 'g') this.toTop();
        else if (event.key === 'Escape' && this.#chosen !== null) this.toTop();
        else return;
        event.preventDefault();
        event.stopPropagation();
    }
}

/**
 * Fills a row with cells, which it keeps.
 * @param {HTMLElement} row @param {string} kind @param {[string, string][]} cells class and text; `time` is an element of its own
 */
export function cells(row, kind, cells) {
    row.className = `row ${kind}`;
    while (row.children.length > cells.length) row.lastElementChild?.remove();
    cells.forEach(([className, text], index) => {
        let cell = row.children[index];
        if (!cell) {
            cell = make('span');
            cell.setAttribute('role', 'gridcell');
            row.append(cell);
        }
        if (cell.className !== className) cell.className = className;
        say(cell, text);
    });
}
