// Shared by all tabs: one connection for those that show the same.

import {Feeds} from './dashboard-feed.js';

const feeds = new Feeds();
/** @type {any} */ (self).onconnect = (/** @type {MessageEvent} */ {ports}) => feeds.attach(ports[0]);
