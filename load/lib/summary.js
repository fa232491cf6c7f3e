// The outcome of a run: as text on standard output, and in OUT_DIR as summary.json,
// junit.xml and report.html.
//
// summary.json has the members that k6 passes to handleSummary (options, state, metrics,
// root_group, setup_data; their form is k6's) and, before them, these, whose form is
// stable:
//
//   run              the run's id, the prefix of all its operations' ids
//   profile          the script's name
//   startedAt        RFC 3339, in UTC
//   durationSeconds  the duration of the load
//   passed           whether all objectives were reached
//   objectives       [{ name, metric, threshold, ok, value, bound, measured }]: a name for
//                    people, k6's metric and threshold, and the value that the threshold
//                    bounds, or null where nothing was measured; bound and measured are
//                    texts for people, with units
//   throughput       { operationsPerSecond, positionsFundedPerSecond }: acknowledged
//                    writes, and funded positions
//   latency          { avg, p50, p95, p99, p999, max }: the duration of operations, writes
//                    and reads, with all their attempts, in milliseconds
//   counts           { iterations, requests, operations, operationsOk, operationsWaiting,
//                    operationsRefused, operationsUnknown, operationsReplayed,
//                    positionsCreated, positionsFunded, policyRejections,
//                    retriesThrottled, retriesConnection, checksFailed,
//                    droppedIterations }
//   breakpoint       of the script breakpoint only, { knee, steps }: knee is the rate of
//                    the last step before an objective was missed, 0 where the first step
//                    missed one; steps are
//                    [{ rate, ok, reached, operationsPerSecond, fundedPerSecond, p50, p95,
//                    p99, p999, max }], rates in iterations per second, latencies in
//                    milliseconds. ok is false for a step that was not reached or did not
//                    last to its end

import { OUT_DIR, RUN_ID, SUMMARY_FILE } from './config.js';
import { profile } from './profile.js';
import { bound, html, junit, measured, text } from './report.js';

export function handleSummary(data) {
  const outcome = outcomeOf(data);
  const files = { stdout: text(outcome) };
  const json = `${JSON.stringify(Object.assign({}, outcome, data), null, 2)}\n`;
  if (SUMMARY_FILE !== '') {
    files[SUMMARY_FILE] = json;
  }
  if (OUT_DIR !== '') {
    files[`${OUT_DIR}/summary.json`] = json;
    files[`${OUT_DIR}/junit.xml`] = junit(outcome);
    files[`${OUT_DIR}/report.html`] = html(outcome);
  }
  return files;
}

function outcomeOf(data) {
  // k6 omits metrics without a sample and a threshold.
  const value = (metric, name) => (data.metrics[metric] ? data.metrics[metric].values[name] : undefined) || 0;
  const count = (metric) => value(metric, 'count');

  const durationMs = data.state.testRunDurationMs;
  const perSecond = (metric) => (durationMs > 0 ? (count(metric) * 1000) / durationMs : 0);
  // A step that the run did not reach is not judged.
  const reached = ({ step }) =>
    step === undefined || data.metrics[`operation_duration{scenario:${step}}`].values.count > 0;
  const objectives = profile.objectives.filter(reached).map((objective) => judged(objective, data.metrics));
  const outcome = {
    run: RUN_ID,
    profile: profile.name,
    startedAt: new Date(Date.now() - durationMs).toISOString(),
    durationSeconds: durationMs / 1000,
    passed: objectives.every((objective) => objective.ok),
    objectives,
    throughput: {
      operationsPerSecond: perSecond('operations_ok'),
      positionsFundedPerSecond: perSecond('positions_funded'),
    },
    latency: {
      avg: value('operation_duration', 'avg'),
      p50: value('operation_duration', 'med'),
      p95: value('operation_duration', 'p(95)'),
      p99: value('operation_duration', 'p(99)'),
      p999: value('operation_duration', 'p(99.9)'),
      max: value('operation_duration', 'max'),
    },
    counts: {
      iterations: count('iterations'),
      requests: count('http_reqs'),
      operations: ['ok', 'waiting', 'refused', 'unknown'].reduce((sum, how) => sum + count(`operations_${how}`), 0),
      operationsOk: count('operations_ok'),
      operationsWaiting: count('operations_waiting'),
      operationsRefused: count('operations_refused'),
      operationsUnknown: count('operations_unknown'),
      operationsReplayed: count('operations_replayed'),
      positionsCreated: count('positions_created'),
      positionsFunded: count('positions_funded'),
      policyRejections: count('policy_rejections'),
      retriesThrottled: count('retries_throttled'),
      retriesConnection: count('retries_connection'),
      checksFailed: value('checks', 'fails'),
      droppedIterations: count('dropped_iterations'),
    },
  };
  if (profile.steps.length > 0) {
    outcome.breakpoint = breakpoint(data.metrics, durationMs);
  }
  return outcome;
}

// judged returns an objective with its value and verdict.
function judged({ name, metric, threshold }, metrics) {
  const { values = {}, thresholds = {} } = metrics[metric] || {};
  // The statistic precedes the comparison in a threshold: p(95)<300.
  const [about] = threshold.split(/[<>=]/);
  // A rate of shares counts what passed; one of a counter is per second.
  const samples = values.passes === undefined ? values.count : values.passes + values.fails;
  const objective = {
    name,
    metric,
    threshold,
    ok: (thresholds[threshold] || {}).ok === true,
    value: samples > 0 || about === 'count' ? values[about] : null,
  };
  return Object.assign(objective, { bound: bound(objective), measured: measured(objective) });
}

// breakpoint returns the result of a rising rate. A step is ok if it lasted to its end,
// reached its objectives, and all steps before it are ok.
function breakpoint(metrics, durationMs) {
  let knee = 0;
  let ok = true;
  const steps = profile.steps.map((step) => {
    const of = (metric, name) => metrics[`${metric}{scenario:${step.name}}`].values[name];
    const reached = of('operation_duration', 'count') > 0;
    const complete = durationMs >= step.endsMs;
    ok =
      ok &&
      complete &&
      profile.objectives
        .filter((objective) => objective.step === step.name)
        .every((objective) => judged(objective, metrics).ok);
    knee = ok ? step.rate : knee;
    return {
      rate: step.rate,
      ok,
      reached,
      operationsPerSecond: of('operation_duration', 'count') / step.seconds,
      fundedPerSecond: of('positions_funded', 'count') / step.seconds,
      p50: of('operation_duration', 'med'),
      p95: of('operation_duration', 'p(95)'),
      p99: of('operation_duration', 'p(99)'),
      p999: of('operation_duration', 'p(99.9)'),
      max: of('operation_duration', 'max'),
    };
  });
  return { knee, steps };
}
