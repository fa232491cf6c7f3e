// The variables that all scripts take. Each is checked while the script is read,
// before a request is sent: a wrong one ends the run with one line that names it.

import { SharedArray } from 'k6/data';

const DURATION = /^(\d+(\.\d+)?(ms|s|m|h))+$/;
const DURATION_PART = /(\d+(?:\.\d+)?)(ms|s|m|h)/g;
const MILLISECONDS = { ms: 1, s: 1000, m: 60 * 1000, h: 60 * 60 * 1000 };

// What may be in front of a path: a scheme, and a host (a name, an IPv4 address,
// or an IPv6 address in brackets) with or without a port.
const BASE_URL = /^https?:\/\/([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(\/[A-Za-z0-9._~\/-]*)?$/;

// fail ends the run. It throws a text, not an Error, because k6 would print an
// Error with its stack, which is about the script and not about the variable.
export function fail(message) {
  throw message;
}

export function wrong(name, value, expected) {
  fail(`${name}: "${value}" is not ${expected}`);
}

// given is a variable's value, or '' where it is not set.
export function given(name) {
  return (__ENV[name] || '').trim();
}

export function required(name) {
  return given(name) || fail(`${name} env var is required`);
}

// key is an API key. It is a secret, so its value is in no message.
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

// decimal is a number between bounds, both included.
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

// milliseconds reads a duration as k6 writes them, like 1m30s.
function milliseconds(text) {
  let sum = 0;
  for (const [, amount, unit] of text.matchAll(DURATION_PART)) {
    sum += Number(amount) * MILLISECONDS[unit];
  }
  return sum;
}

// duration is a variable's value, or the default, in milliseconds.
export function duration(name, byDefault, least = 1) {
  const value = given(name) || byDefault;
  if ((!DURATION.test(value) && value !== '0') || milliseconds(value) < least) {
    wrong(name, value, 'a duration like 30s, 5m or 1h30m');
  }
  return milliseconds(value);
}

// stages reads STAGES, like 1m:20,2m:100,30s:0, as k6's options have them; it is
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
    // A password is not for the screen.
    wrong(name, value.replace(/\/\/.*@/, '//…@'), 'a URL like http://localhost:4000');
  }
  return value.replace(/\/+$/, '');
}

// runID is the prefix of all operations' ids. The default has to be another one in
// each run, or the server would take new operations for repetitions of old ones,
// and the same for all virtual users, each of which runs this file: a shared array
// is made once.
function runID(name) {
  const value = given(name);
  if (value !== '' && !/^[A-Za-z0-9._:-]{1,64}$/.test(value)) {
    wrong(name, value, 'a text of 1 to 64 characters out of A-Z a-z 0-9 . _ : -');
  }
  const random = Math.floor(Math.random() * 36 ** 4).toString(36);
  return value || new SharedArray(name, () => [`lt-${Date.now().toString(36)}-${random}`])[0];
}

// directory is a variable's value without a slash at its end. k6 makes no
// directory when it writes the outcome, and hours of a run would be lost.
function directory(name) {
  const value = given(name).replace(/(.)\/+$/, '$1');
  const path = value.startsWith('/') ? value : `${__ENV.PWD}/${value}`;
  if (value !== '' && (value.startsWith('/') || __ENV.PWD) && __VU === 0) {
    try {
      open(path);
    } catch (error) {
      // Any directory is an error to open(), but another one.
      if (/no such file/i.test(String(error))) {
        wrong(name, value, 'a directory that exists');
      }
    }
  }
  return value;
}

export const API_URL = baseURL('API_URL', 'http://localhost:4000');

export const RUN_ID = runID('RUN_ID');

// MAX_RETRIES bounds how often an attempt is repeated.
export const MAX_RETRIES = integer('MAX_RETRIES', 5, 0);

export const OPERATIONS_LOG = flag('OPERATIONS_LOG');

export const OUT_DIR = directory('OUT_DIR');

// What the objectives are judged by; objectives.js says what each is about.
export const BOUNDS = {
  averageMs: decimal('MAX_AVG_MS', 300, 0, Infinity),
  p95Ms: decimal('MAX_P95_MS', 300, 0, Infinity),
  p99Ms: decimal('MAX_P99_MS', 1000, 0, Infinity),
  checks: decimal('MIN_CHECKS', 0.999, 0, 1),
  failed: decimal('MAX_FAILED', 0.001, 0, 1),
};

export const EXPECT_REJECTIONS = flag('EXPECT_REJECTIONS');
