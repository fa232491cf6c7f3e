// What a run has to reach, as k6's thresholds. A run that misses one fails.

import { BOUNDS, EXPECT_REJECTIONS } from './config.js';

// How the summary is to show durations, in k6's terms.
export const SUMMARY_TREND_STATS = ['count', 'avg', 'min', 'med', 'max', 'p(90)', 'p(95)', 'p(99)', 'p(99.9)'];

// An objective is { name, metric, threshold }: its name for people, and what k6
// judges it by. One that has abortAfter ends the run when it is missed, from so many
// milliseconds on. A share that must be above 1 or below 0 is meant to be just that.
const above = (share) => (share === 1 ? 'rate==1' : `rate>${share}`);
const below = (share) => (share === 0 ? 'rate==0' : `rate<${share}`);

// latency is three objectives on a metric of durations.
export function latency(of, metric) {
  return [
    { name: `average of ${of}`, metric, threshold: `avg<${BOUNDS.averageMs}` },
    { name: `p95 of ${of}`, metric, threshold: `p(95)<${BOUNDS.p95Ms}` },
    { name: `p99 of ${of}`, metric, threshold: `p(99)<${BOUNDS.p99Ms}` },
  ];
}

// failures is the objective on operations that failed for good. filter is a tag
// of k6's, like {scenario:a}, or ''.
export function failures(of, filter = '') {
  return { name: `failed ${of}`, metric: `operations_failed${filter}`, threshold: below(BOUNDS.failed) };
}

// dropped is the objective that a run's arrivals find a client. One that does not
// is a user who was not served, and whose time no other metric has.
export function dropped(of, arrivals, filter = '') {
  return {
    name: `dropped ${of}`,
    metric: `dropped_iterations${filter}`,
    threshold: `count<=${Math.floor(arrivals * BOUNDS.failed)}`,
  };
}

// objectives are those of every run. endpoints are the names of the endpoints that
// are judged by themselves, arrivals is the number of iterations that a run with
// an arrival rate begins, and floor is the counter that must not be 0: without it
// a run that did nothing would pass.
export function objectives({ endpoints, arrivals, floor }) {
  return [
    { name: 'checks', metric: 'checks', threshold: above(BOUNDS.checks) },
    failures('operations'),
    { name: 'failed requests', metric: 'http_req_failed', threshold: below(BOUNDS.failed) },
    ...latency('operations with their retries', 'operation_duration'),
    ...latency('all requests', 'http_req_duration'),
    ...endpoints.flatMap((endpoint) => latency(endpoint, `http_req_duration{name:${endpoint}}`)),
    ...(arrivals === undefined ? [] : [dropped('iterations', arrivals)]),
    least(floor),
    authenticated(),
  ];
}

// least is the objective that a floor was passed. A run that is told to expect
// refusals must see some instead.
export function least({ name, metric }) {
  return EXPECT_REJECTIONS
    ? { name: 'refused by policy or template', metric: 'policy_rejections', threshold: 'count>0' }
    : { name, metric, threshold: 'count>0' };
}

// authenticated makes a run that was cut off for its key one that failed.
export function authenticated() {
  return { name: 'authentication failures', metric: 'authentication_failures', threshold: 'count==0' };
}

// FUNDED is the floor of runs that are about positions.
export const FUNDED = { name: 'positions funded', metric: 'positions_funded' };

// thresholds are objectives as k6's options have them.
export function thresholds(list) {
  const byMetric = {};
  for (const { metric, threshold, abortAfter } of list) {
    const entry =
      abortAfter === undefined ? threshold : { threshold, abortOnFail: true, delayAbortEval: `${abortAfter}ms` };
    byMetric[metric] = [...(byMetric[metric] || []), entry];
  }
  return byMetric;
}
