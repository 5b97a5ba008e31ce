/**
 * Goal: whatever is asked of the API as its own document allows, and a little beside that, the answer is one the document
 * names: status, type and shape, and never a failure of ours. Every operation is asked; a request that fails is made small and told.
 */
import fc from 'fast-check';
import t from 'tap';
import { accessWorld } from '../support/access-world.ts';
import { FAKE_POLICY } from '../support/fake-service.ts';
import { checkAnswer, type OpenApi, whole } from '../support/openapi.ts';
import { type JsonSchema, valuesOf } from '../support/schema-values.ts';

const SEED = Number(process.env.SEED ?? 20_261_121);
const RUNS = 40;
t.setTimeout(60_000);

interface Parameter {
  in: 'query' | 'path' | 'header';
  name: string;
  required?: boolean;
  schema: JsonSchema;
}
interface Operation {
  parameters?: Parameter[];
  requestBody?: { content: Record<string, { schema: JsonSchema }> };
}
interface Asked {
  inPath: Record<string, unknown>;
  query: Record<string, unknown>;
  headers: Record<string, string>;
  payload?: string;
}

const world = await accessWorld({ requestsPerSecond: 1e9 });
t.teardown(() => world.app.close());
const document = (await world.ask('GET', '/openapi.json')).json<OpenApi>();
const bearers = [
  await world.token({ name: 'administrator', role: 'administrator' }),
  await world.token({ name: 'viewer' }),
  await world.token({ name: 'tenant', role: 'operator', tenant: 'shop' }),
];
/** Names that lead somewhere: made ones alone would only ever find nothing. Of what is listed above the parameter in its path. */
async function namesAbove(path: string): Promise<unknown[]> {
  const listed = await world.ask('GET', path.slice(0, path.indexOf('/{')), { bearer: bearers[0]! });
  if (listed.statusCode !== 200) return [];
  const { items = [] } = listed.json() as { items?: { id?: string; name?: string; version?: number }[] };
  return items.flatMap(({ id, name, version }) => [id, name, version].filter((each) => each !== undefined));
}

/** Operations that did what they are for. */
const served = new Set<string>();

const values = (schema: JsonSchema): fc.Arbitrary<unknown> => valuesOf(whole(document, schema) as JsonSchema);
const valuesIn = (parameters: readonly Parameter[]): fc.Arbitrary<Record<string, unknown>> =>
  fc.record(Object.fromEntries(parameters.map(({ name, schema }) => [name, values(schema)])), {
    requiredKeys: parameters.filter(({ required }) => required).map(({ name }) => name),
  });

function bodies({ requestBody }: Operation): fc.Arbitrary<{ type: string; payload: string } | null> {
  if (requestBody === undefined) return fc.constant(null);
  return fc.oneof(
    ...Object.entries(requestBody.content).map(([type, { schema }]) =>
      type === 'application/json'
        ? // What the document does not allow is refused, in words it names too.
          fc.oneof({ weight: 4, arbitrary: values(schema) }, fc.jsonValue()).map((value) => ({ type, payload: JSON.stringify(value) }))
        : fc.oneof(fc.constant(FAKE_POLICY), fc.string()).map((payload) => ({ type, payload })),
    ),
  );
}

function requests(operation: Operation, known: readonly unknown[]): fc.Arbitrary<Asked> {
  const { parameters = [] } = operation;
  const of = (where: Parameter['in']): Parameter[] => parameters.filter((parameter) => parameter.in === where);
  const names = of('path').map(
    ({ name, schema }) => [name, known.length === 0 ? values(schema) : fc.oneof(fc.constantFrom(...known), values(schema))] as const,
  );
  const bearer = fc.constantFrom(...bearers, 'hra_000000000000_none');
  return fc
    .record({
      inPath: fc.record(Object.fromEntries(names)),
      query: valuesIn(of('query')),
      headers: valuesIn(of('header')),
      bearer,
      body: bodies(operation),
    })
    .map(({ inPath, query, headers, bearer, body }) => ({
      inPath,
      // A stream of events has no end.
      query: Object.hasOwn(query, 'format') || of('query').some(({ name }) => name === 'format') ? { ...query, format: 'json' } : query,
      headers: {
        host: 'localhost',
        authorization: `Bearer ${bearer}`,
        ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, encodeURIComponent(String(value))])),
        ...(body === null ? {} : { 'content-type': body.type }),
      },
      ...(body === null ? {} : { payload: body.payload }),
    }));
}

const text = (value: unknown): string => encodeURIComponent(String(value).toWellFormed());

for (const [path, operations] of Object.entries(document.paths)) {
  for (const [verb, operation] of Object.entries(operations)) {
    const method = verb.toUpperCase();
    t.test(`${method} ${path}`, async () => {
      const known = path.includes('/{') ? await namesAbove(path) : [];
      const property = fc.asyncProperty(requests(operation as Operation, known), async ({ inPath, query, headers, payload }) => {
        const url = path.replaceAll(/\{([^}]+)\}/g, (_, name: string) => text(inPath[name]) || '-');
        const pairs = Object.entries(query).map(([name, value]) => `${text(name)}=${text(value)}`);
        const answer = await world.app.inject({
          method: method as 'GET',
          url: `${url}?${pairs.join('&')}`,
          headers,
          ...(payload === undefined ? {} : { payload }),
        });
        const { statusCode: status, body } = answer;
        if (status >= 500 && status !== 503) throw new Error(`a failure of ours: ${status} ${body}`);
        if (status < 400) served.add(`${method} ${path}`);
        if (status !== 303) checkAnswer(document, { method, path, status, contentType: String(answer.headers['content-type']), body });
      });
      await fc.assert(property, { seed: SEED, numRuns: RUNS });
    });
  }
}

t.test('most operations were asked for what they can do', async (t) => {
  const operations = Object.entries(document.paths).flatMap(([path, verbs]) =>
    Object.keys(verbs).map((verb) => `${verb.toUpperCase()} ${path}`),
  );
  const idle = operations.filter((operation) => !served.has(operation));
  t.ok(idle.length < operations.length / 3, `never served: ${idle.join(', ')}`);
  t.comment(`never served: ${idle.join(', ')}`);
});
