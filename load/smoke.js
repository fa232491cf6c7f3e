// A few positions in a few seconds: whether anything is wrong at all. For each
// commit.

import { everyday } from './lib/everyday.js';
import { openModel } from './lib/profile.js';

export { iteration as default, setup } from './lib/everyday.js';
export { handleSummary } from './lib/summary.js';

export const options = openModel('smoke', {
  ...everyday,
  rate: 5,
  length: '5s',
});
