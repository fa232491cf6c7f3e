// Creates positions and funds them, with up to 50 clients for two minutes, each of which waits
// a second between two positions. It is positions-k6.js with clients that repeat what can be
// repeated.

import { sleep } from 'k6';
import { duration } from './lib/config.js';
import { everyday, iteration } from './lib/everyday.js';
import { closedModel } from './lib/profile.js';

export { setup } from './lib/everyday.js';
export { handleSummary } from './lib/summary.js';

const THINK_TIME = duration('THINK_TIME', '1s', 0) / 1000;

export const options = closedModel('users', {
  ...everyday,
  stages: [
    { duration: '30s', target: 10 },
    { duration: '1m', target: 50 },
    { duration: '30s', target: 0 },
  ],
});

export default function () {
  iteration();
  sleep(THINK_TIME);
}
