// A client as one writes it in a minute: amounts are numbers, nothing has a key under which
// it could be repeated, and only the API's basic promises are used. It must go on working.

import http from 'k6/http';
import { check } from 'k6';

const params = { headers: { 'Content-Type': 'application/json', 'X-API-KEY': __ENV.API_KEY } };

export default function () {
  const createRes = http.post(
    `${__ENV.API_URL}/positions`,
    JSON.stringify({
      assetId: __ENV.ASSET_ID,
      holderReference: `LOAD_TEST_${__VU}_${Date.now()}`,
      currency: 'USD',
      amount: 1000,
    }),
    params,
  );
  check(createRes, { 'position created': (r) => r.status === 201 });

  const transitionRes = http.post(
    `${__ENV.API_URL}/positions/${createRes.json().id}/transition`,
    JSON.stringify({ toState: 'FUNDED', reason: 'load test funding' }),
    params,
  );
  check(transitionRes, { 'transition FUNDED': (r) => r.status === 200 });
}
