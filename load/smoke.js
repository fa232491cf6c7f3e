// A few hundred positions in a few seconds, to see whether anything is wrong at all. It
// is short enough for every commit.

import { everyday } from './lib/everyday.js';
import { openModel } from './lib/profile.js';

export { iteration as default, setup } from './lib/everyday.js';
export { handleSummary } from './lib/summary.js';

export const options = openModel('smoke', {
  ...everyday,
  rate: 60,
  length: '5s',
  requests: 100,
});
