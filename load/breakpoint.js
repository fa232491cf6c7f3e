// A rate that rises in steps until an objective is missed. The last step before that
// is the knee: the highest rate that this server can serve. The run ends with k6's
// exit code for missed objectives by design.

import { FUNDED } from './lib/objectives.js';
import { risingModel } from './lib/profile.js';

export { iteration as default, setup } from './lib/everyday.js';
export { handleSummary } from './lib/summary.js';

export const options = risingModel('breakpoint', {
  rate: 1000,
  length: '10m',
  steps: 20,
  floor: FUNDED,
});
