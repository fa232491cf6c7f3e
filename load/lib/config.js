// The variables that all scripts take. They are checked when the script is loaded, before
// it sends a request: a wrong one ends the run with one line that names it.

import { SharedArray } from 'k6/data';

const DURATION = /^(\d+(\.\d+)?(ms|s|m|h))+$/;
const DURATION_PART = /(\d+(?:\.\d+)?)(ms|s|m|h)/g;
const MILLISECONDS = { ms: 1, s: 1000, m: 60 * 1000, h: 60 * 60 * 1000 };

// The prefix of a path: a scheme and a host (a name, an IPv4 address, or an IPv6 address
// in brackets) with or without a port.
const BASE_URL = /^https?:\/\/([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(\/[A-Za-z0-9._~\/-]*)?$/;

// fail ends the run. It throws a string, not an Error, because k6 prints the stack of an
// Error, which is about the script and not about the variable.
export function fail(message) {
  throw message;
}

export function wrong(name, value, expected) {
  fail(`${name}: "${value}" is not ${expected}`);
}

// The names of the variables that were read.
const known = new Set();

// given returns a variable's value, or '' where it is not set.
export function given(name) {
  known.add(name);
  return (__ENV[name] || '').trim();
}

// checkUsed ends the run if MUST_USE names a variable that was not read by now. Otherwise a
// typing error in the name of an objective would leave that objective as it was.
export function checkUsed(script) {
  const names = given('MUST_USE').split(',');
  const unused = names.find((name) => name !== '' && !known.has(name));
  if (unused) {
    fail(`${unused} is not a variable of ${script}`);
  }
}

export function required(name) {
  return given(name) || fail(`${name} env var is required`);
}

// key returns an API key. It is a secret, so no message contains its value.
export function key(name) {
  const value = required(name);
  if (!/^[\x21-\x7e]+$/.test(value)) {
    fail(`${name} has characters that no key has`);
  }
  return value;
}

export function flag(name) {
  const value = given(name) || 'false';
  if (value !== 'true' && value !== 'false') {
    wrong(name, value, 'true or false');
  }
  return value === 'true';
}

export function integer(name, byDefault, least = 1) {
  const value = given(name);
  if (value === '') {
    return byDefault;
  }
  if (!/^\d{1,9}$/.test(value) || Number(value) < least) {
    wrong(name, value, `a whole number of ${least} or more`);
  }
  return Number(value);
}

// decimal returns a number between bounds, both included.
function decimal(name, byDefault, least, most) {
  const value = given(name);
  if (value === '') {
    return byDefault;
  }
  if (!/^\d+(\.\d+)?$/.test(value) || Number(value) < least || Number(value) > most) {
    wrong(name, value, most === Infinity ? `a number of ${least} or more` : `a number from ${least} to ${most}`);
  }
  return Number(value);
}

// milliseconds parses a duration in k6's form, like 1m30s.
function milliseconds(text) {
  let sum = 0;
  for (const [, amount, unit] of text.matchAll(DURATION_PART)) {
    sum += Number(amount) * MILLISECONDS[unit];
  }
  return sum;
}

// duration returns a variable's value, or the default, in milliseconds.
export function duration(name, byDefault, least = 1) {
  const value = given(name) || byDefault;
  if ((!DURATION.test(value) && value !== '0') || milliseconds(value) < least) {
    wrong(name, value, 'a duration like 30s, 5m or 1h30m');
  }
  return milliseconds(value);
}

// stages parses STAGES, like 1m:20,2m:100,30s:0, into the form of k6's options. It returns
// undefined where the variable is not set.
export function stages() {
  const value = given('STAGES');
  if (value === '') {
    return undefined;
  }
  return value.split(',').map((stage) => {
    const [, length, target] = /^\s*([0-9.hms]+):(\d{1,9})\s*$/.exec(stage) || [];
    if (!DURATION.test(length || '')) {
      wrong('STAGES', value, 'a list of durations and targets like 1m:20,2m:100,30s:0');
    }
    return { duration: `${milliseconds(length)}ms`, target: Number(target) };
  });
}

function baseURL(name, byDefault) {
  const value = given(name) || byDefault;
  const [matched, , port] = BASE_URL.exec(value) || [];
  if (!matched || (port && Number(port.slice(1)) > 65535)) {
    // A password must not appear on the screen.
    wrong(name, value.replace(/\/\/.*@/, '//…@'), 'a URL like http://localhost:4000');
  }
  return value.replace(/\/+$/, '');
}

// runID returns the prefix of all operations' ids. The default must differ between runs,
// or the server would take new operations for retries of old ones. It must be the same for
// all virtual users, each of which runs this file, so it is in a shared array, which is
// created once.
function runID(name) {
  const value = given(name);
  if (value !== '' && !/^[A-Za-z0-9._:-]{1,64}$/.test(value)) {
    wrong(name, value, 'a text of 1 to 64 characters out of A-Z a-z 0-9 . _ : -');
  }
  const random = Math.floor(Math.random() * 36 ** 4).toString(36);
  return value || new SharedArray(name, () => [`lt-${Date.now().toString(36)}-${random}`])[0];
}

// directory returns the path of a directory without a slash at its end. The directory must
// exist: k6 creates none when it writes the outcome, and the results of hours would be lost.
function directory(name) {
  const value = given(name).replace(/(.)\/+$/, '$1');
  const path = value.startsWith('/') ? value : `${__ENV.PWD}/${value}`;
  if (value !== '' && (value.startsWith('/') || __ENV.PWD) && __VU === 0) {
    try {
      open(path);
    } catch (error) {
      // open() fails for an existing directory, too, but with another error.
      if (/no such file/i.test(String(error))) {
        wrong(name, value, 'a directory that exists');
      }
    }
  }
  return value;
}

export const API_URL = baseURL('API_URL', 'http://localhost:4000');

export const RUN_ID = runID('RUN_ID');

// MAX_RETRIES bounds the retries of a request.
export const MAX_RETRIES = integer('MAX_RETRIES', 5, 0);

export const OPERATIONS_LOG = flag('OPERATIONS_LOG');

export const OUT_DIR = directory('OUT_DIR');

// SUMMARY_FILE is a path for the summary alone, or ''.
export const SUMMARY_FILE = given('SUMMARY_FILE');

// The bounds of the objectives, which are in objectives.js. Those on the server's and k6's
// resources are for escrowgrid loadtest, which measures them.
export const BOUNDS = {
  averageMs: decimal('MAX_AVG_MS', 300, 0, Infinity),
  p95Ms: decimal('MAX_P95_MS', 300, 0, Infinity),
  p99Ms: decimal('MAX_P99_MS', 1000, 0, Infinity),
  checks: decimal('MIN_CHECKS', 0.999, 0, 1),
  failed: decimal('MAX_FAILED', 0.001, 0, 1),
  cpu: decimal('MAX_CPU_SHARE', 0.8, 0, 1),
  memory: decimal('MAX_MEMORY_SHARE', 0.8, 0, 1),
};

// leastRate returns the bound of the requests per second; 0 is none.
export function leastRate(byDefault) {
  return decimal('MIN_RPS', byDefault, 0, Infinity);
}

export const EXPECT_REJECTIONS = flag('EXPECT_REJECTIONS');
