// How a page uses client.js, for the types that its comments declare: what is right passes, and each line below `@ts-expect-error` must not.

import {CLOSE_CODES, GoLeapAIClient} from '../../../Sources/Server/Dashboard/client.js';

const client = new GoLeapAIClient({
    channels: ['logs', 'stats'], filters: {logs: {level: 'warn'}}, history: 100, getToken: async ({reason}) => reason === 'connect' ? 'a' : 'b',
    onGap: ({reason, dropped}) => `${reason} ${dropped ?? 0}`, onState: ({name, retryAt}) => name === 'waiting' && (retryAt ?? 0) > 0,
});
/** @type {string | null} */ const position = client.position;
/** @type {number | null} */ const away = client.roundTrip;
/** @type {Promise<number | null>} */ const trip = client.start().ping();
client.subscribe({channels: ['requests'], history: 10});
client.addEventListener('gap', ({detail}) => [detail, position, away, trip]);

// @ts-expect-error: no such channel
new GoLeapAIClient({channels: ['nonsense']});
// @ts-expect-error: no such option
new GoLeapAIClient({chanels: ['logs']});
// @ts-expect-error: a list
client.subscribe({channels: 'logs'});
// @ts-expect-error: a text
client.authenticate(7);
// @ts-expect-error: there may be none yet
client.position.length;
// @ts-expect-error: a number, or none
client.roundTrip.length;
// @ts-expect-error: cannot be set
client.position = 'e-1';
// @ts-expect-error: no such state
client.state.name === 'closed';
// @ts-expect-error: no such verdict
CLOSE_CODES[1000].verdict === 'perhaps';
