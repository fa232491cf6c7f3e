// The outcome of a run: for people on standard output, and in OUT_DIR as
// summary.json, junit.xml and report.html.
//
// summary.json is what k6 gives its handleSummary (options, state, metrics,
// root_group, setup_data; its shape is k6's), with this in front, which is ours and
// stays as it is:
//
//   run              the run's id, the prefix of all its operations' ids
//   profile          the script's name
//   startedAt        RFC 3339, in UTC
//   durationSeconds  how long the load lasted
//   passed           whether all objectives were reached
//   objectives       [{ name, metric, threshold, ok, value }], name for people,
//                    metric and threshold k6's, value what the threshold is about,
//                    null where nothing was measured
//   throughput       { operationsPerSecond, positionsFundedPerSecond }: writes that
//                    were acknowledged, and positions that were funded
//   latency          { avg, p50, p95, p99, p999, max }: milliseconds that operations
//                    took, writes and reads, with all their attempts
//   counts           { iterations, requests, operations, operationsOk,
//                    operationsRefused, operationsUnknown, operationsReplayed,
//                    positionsCreated, positionsFunded, policyRejections,
//                    retriesThrottled, retriesConnection, checksFailed,
//                    droppedIterations }
//   breakpoint       of the script breakpoint only, { knee, steps }: knee is the
//                    highest rate before an objective was missed, 0 where that
//                    already was so in the first step; steps are
//                    [{ rate, ok, reached, fundedPerSecond, p95, p99 }], a rate's
//                    iterations a second. In a step that was not reached, or not
//                    to its end, ok is false

import { OUT_DIR, RUN_ID } from './config.js';
import { profile } from './profile.js';
import { html, junit, text } from './report.js';

export function handleSummary(data) {
  const outcome = outcomeOf(data);
  const files = { stdout: text(outcome) };
  if (OUT_DIR !== '') {
    files[`${OUT_DIR}/summary.json`] = `${JSON.stringify(Object.assign({}, outcome, data), null, 2)}\n`;
    files[`${OUT_DIR}/junit.xml`] = junit(outcome);
    files[`${OUT_DIR}/report.html`] = html(outcome);
  }
  return files;
}

function outcomeOf(data) {
  // k6 leaves out metrics that had no sample and no threshold.
  const value = (metric, name) => (data.metrics[metric] ? data.metrics[metric].values[name] : undefined) || 0;
  const count = (metric) => value(metric, 'count');

  const durationMs = data.state.testRunDurationMs;
  const perSecond = (metric) => (durationMs > 0 ? (count(metric) * 1000) / durationMs : 0);
  // Steps that the run did not come to have nothing to judge.
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
      operations: count('operations_ok') + count('operations_refused') + count('operations_unknown'),
      operationsOk: count('operations_ok'),
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

// judged is an objective with what came of it.
function judged({ name, metric, threshold }, metrics) {
  const { values = {}, thresholds = {} } = metrics[metric] || {};
  // What a threshold is about stands in front of its comparison: p(95)<300.
  const [about] = threshold.split(/[<>=]/);
  const samples = about === 'rate' ? values.passes + values.fails : values.count;
  return {
    name,
    metric,
    threshold,
    ok: (thresholds[threshold] || {}).ok === true,
    value: samples > 0 || about === 'count' ? values[about] : null,
  };
}

// breakpoint is how far a rising rate came. A step that lasted to its end and
// reached its objectives is ok, and so must be all before it.
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
      fundedPerSecond: of('positions_funded', 'count') / step.seconds,
      p95: of('operation_duration', 'p(95)'),
      p99: of('operation_duration', 'p(99)'),
    };
  });
  return { knee, steps };
}
