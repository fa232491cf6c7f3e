// All load on one institution, whose journal is written strictly in sequence. Compare
// it with many-institutions.js at the same RATE.

import { everyday } from './lib/everyday.js';
import { COMPARED, openModel } from './lib/profile.js';

export { iteration as default, setup } from './lib/everyday.js';
export { handleSummary } from './lib/summary.js';

export const options = openModel('hot-institution', {
  ...everyday,
  ...COMPARED,
});
