// The load of most scripts: with one key, on one asset, create positions and fund them.

import { Client } from './client.js';
import { key, required } from './config.js';
import { createAndFund, CREATE_POSITION, preflight, TRANSITION } from './escrow.js';
import { FUNDED } from './objectives.js';

const API_KEY = key('API_KEY');
const ASSET_ID = required('ASSET_ID');
const client = new Client(API_KEY);

// everyday holds the parts of the options that these scripts share.
export const everyday = { endpoints: [CREATE_POSITION, TRANSITION], floor: FUNDED };

export function setup() {
  preflight(API_KEY, ASSET_ID);
}

// iteration is what each client repeats.
export function iteration() {
  createAndFund(client, ASSET_ID);
}
