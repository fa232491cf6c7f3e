// More than a busy day: the rate rises to that of the day and to two, three and four
// times as much, stays at each for a while, and falls again.

import { everyday } from './lib/everyday.js';
import { openModel } from './lib/profile.js';

export { iteration as default, setup } from './lib/everyday.js';
export { handleSummary } from './lib/summary.js';

export const options = openModel('stress', {
  ...everyday,
  rate: 200,
  length: '10m',
  shape: [
    [0.05, 0.25],
    [0.175, 0.25],
    [0.05, 0.5],
    [0.175, 0.5],
    [0.05, 0.75],
    [0.175, 0.75],
    [0.05, 1],
    [0.175, 1],
    [0.1, 0],
  ],
});
