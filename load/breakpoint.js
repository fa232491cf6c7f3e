// A rate that rises in steps until an objective is missed. The last step before
// that is the knee: what this server can take. That the run then ends with k6's
// exit code for missed objectives is how it is meant to end.

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
