// A rush: ten times the load within seconds, to see whether the server serves the
// everyday load well again afterwards.

import { everyday } from './lib/everyday.js';
import { openModel } from './lib/profile.js';

export { iteration as default, setup } from './lib/everyday.js';
export { handleSummary } from './lib/summary.js';

export const options = openModel('spike', {
  ...everyday,
  rate: 300,
  length: '4m',
  shape: [
    [0.25, 0.1],
    [0.04, 1],
    [0.25, 1],
    [0.04, 0.1],
    [0.42, 0.1],
  ],
});
