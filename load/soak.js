// Everyday load for hours, to find what leaks, fills up or slows down with time.

import { everyday } from './lib/everyday.js';
import { openModel } from './lib/profile.js';

export { iteration as default, setup } from './lib/everyday.js';
export { handleSummary } from './lib/summary.js';

export const options = openModel('soak', {
  ...everyday,
  rate: 20,
  length: '8h',
});
