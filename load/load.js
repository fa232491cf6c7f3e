// The load of a busy day: it rises to the rate, stays there, and falls again.

import { everyday } from './lib/everyday.js';
import { openModel } from './lib/profile.js';

export { iteration as default, setup } from './lib/everyday.js';
export { handleSummary } from './lib/summary.js';

export const options = openModel('load', {
  ...everyday,
  rate: 75,
  length: '5m',
  requests: 100,
  shape: [
    [0.1, 1],
    [0.8, 1],
    [0.1, 0],
  ],
});
