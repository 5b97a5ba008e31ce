/**
 * Goal: every mistake a policy file can hold is refused, by the pure parser and through the API alike, with its place and field
 * and what is allowed there, and the policy in force stays.
 */
import t from 'tap';
import { parsePolicyFile } from '../../aggregator/core/plan/policy-file.ts';
import { createHttpApp } from '../../aggregator/http/app.ts';
import { FAKE_POLICY, fakeService } from '../support/fake-service.ts';
import { policyMistakes } from '../support/policy-mistakes.ts';

const MISTAKES = policyMistakes();
/** What is refused before its text is looked at, by its name. */
const BEFORE_PARSING: Record<string, number> = { 'longer than is read': 413 };
const OPTIONS = { version: 2, forecasters: ['aggregate', 'last-value'] };

t.test('there is one for each section and field of the schema, and for each of its bounds', async (t) => {
  t.ok(MISTAKES.length > 700, `${MISTAKES.length} mistakes`);
  for (const path of [
    'fleet.blastRadius.vmsPerPlan',
    'fleet.canary.soak',
    'defaults.memory.workingSetWindow',
    'rules[0].match.name',
    'rules[0].cpu.startupBoostFraction',
  ])
    t.ok(
      MISTAKES.some(({ name }) => name.startsWith(`${path}:`)),
      path,
    );
});

t.test('by the parser', async (t) => {
  const missed = MISTAKES.flatMap(({ name, source, told }) => {
    try {
      parsePolicyFile(source, OPTIONS);
      return [`${name}: taken`];
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      return code === 'POLICY_INVALID' && told.test(message) ? [] : [`${name}: ${code} ${message}`];
    }
  });
  t.same(missed, []);
});

t.test('through the API: 422 with line, column and field; what is in force stays', async (t) => {
  const service = await fakeService();
  const app = await createHttpApp(service);
  t.teardown(() => app.close());
  const missed: string[] = [];
  for (const { name, source, told } of MISTAKES) {
    const headers = { host: '127.0.0.1', 'content-type': 'application/yaml' };
    const { statusCode, json } = await app.inject({ method: 'PUT', url: '/v1/policies', headers, payload: source });
    const problem = json<{ code: string; detail: string; line?: number; mistakes?: { line: number; column: number }[] }>();
    const refused = statusCode === 422 && problem.code === 'POLICY_INVALID' && told.test(problem.detail);
    const placed = (problem.mistakes?.length ?? 0) > 0;
    const expected = BEFORE_PARSING[name] === undefined ? refused && placed : statusCode === BEFORE_PARSING[name];
    if (!expected) missed.push(`${name}: ${statusCode} ${problem.detail}`);
  }
  t.same(missed, []);
  t.equal(service.policies().source, FAKE_POLICY);
});
