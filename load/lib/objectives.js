// The objectives of a run, as k6's thresholds. A run that misses one fails.

import { BOUNDS, EXPECT_REJECTIONS } from './config.js';

// The statistics of durations in the summary, in k6's terms.
export const SUMMARY_TREND_STATS = ['count', 'avg', 'min', 'med', 'max', 'p(90)', 'p(95)', 'p(99)', 'p(99.9)'];

// An objective is { name, metric, threshold }: its name for people, and k6's metric and
// threshold. One with abortAfter, in milliseconds, ends the run when it is missed after
// that time. A bound of 1 from below or 0 from above means exactly that share.
const above = (share) => (share === 1 ? 'rate==1' : `rate>${share}`);
const below = (share) => (share === 0 ? 'rate==0' : `rate<${share}`);

// latency returns three objectives on a metric of durations.
export function latency(of, metric) {
  return [
    { name: `average of ${of}`, metric, threshold: `avg<${BOUNDS.averageMs}` },
    { name: `p95 of ${of}`, metric, threshold: `p(95)<${BOUNDS.p95Ms}` },
    { name: `p99 of ${of}`, metric, threshold: `p(99)<${BOUNDS.p99Ms}` },
  ];
}

// failures returns the objective on operations that finally failed. filter is a tag filter
// of k6, like {scenario:a}, or ''.
export function failures(of, filter = '') {
  return { name: `failed ${of}`, metric: `operations_failed${filter}`, threshold: below(BOUNDS.failed) };
}

// dropped returns the objective that there is a client for each arrival. A dropped one is a
// user who was not served and whose time is in no other metric.
export function dropped(of, arrivals, filter = '') {
  return {
    name: `dropped ${of}`,
    metric: `dropped_iterations${filter}`,
    threshold: `count<=${Math.floor(arrivals * BOUNDS.failed)}`,
  };
}

// objectives returns the objectives of every run. endpoints are the names of the endpoints
// that are judged separately, arrivals is the number of iterations that a run with an
// arrival rate starts, requestRate is the least number of requests per second, 0 for none,
// and floor is the counter that must not be 0: without it, a run that did nothing would pass.
export function objectives({ endpoints, arrivals, requestRate, floor }) {
  return [
    { name: 'checks', metric: 'checks', threshold: above(BOUNDS.checks) },
    failures('operations'),
    { name: 'failed requests', metric: 'http_req_failed', threshold: below(BOUNDS.failed) },
    ...latency('operations with their retries', 'operation_duration'),
    ...latency('all requests', 'http_req_duration'),
    ...endpoints.flatMap((endpoint) => latency(endpoint, `http_req_duration{name:${endpoint}}`)),
    ...(arrivals === undefined ? [] : [dropped('iterations', arrivals)]),
    ...(requestRate > 0
      ? [{ name: 'requests per second', metric: 'http_reqs', threshold: `rate>${requestRate}` }]
      : []),
    least(floor),
    ...unhindered(),
  ];
}

// least returns the objective that a floor was passed. A run that expects refusals must
// have some instead.
export function least({ name, metric }) {
  return EXPECT_REJECTIONS
    ? { name: 'refused by policy or template', metric: 'policy_rejections', threshold: 'count>0' }
    : { name, metric, threshold: 'count>0' };
}

// unhindered returns the objectives that fail a run that ended because of its key, or because of
// an approval rule.
export function unhindered() {
  return [
    { name: 'authentication failures', metric: 'authentication_failures', threshold: 'count==0' },
    { name: 'unexpected approvals', metric: 'unexpected_approvals', threshold: 'count==0' },
  ];
}

// FUNDED is the floor of runs that fund positions.
export const FUNDED = { name: 'positions funded', metric: 'positions_funded' };

// thresholds converts objectives to the form of k6's options.
export function thresholds(list) {
  const byMetric = {};
  for (const { metric, threshold, abortAfter } of list) {
    const entry =
      abortAfter === undefined ? threshold : { threshold, abortOnFail: true, delayAbortEval: `${abortAfter}ms` };
    byMetric[metric] = [...(byMetric[metric] || []), entry];
  }
  return byMetric;
}
