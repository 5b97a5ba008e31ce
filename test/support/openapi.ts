/**
 * Holds answers against the OpenAPI document of the server that gave them. Input: the document, an answer; output: what is
 * wrong, nothing when all is well. Objects may not have members the document does not name: documentation that lags is wrong.
 */
import Schema from 'typebox/schema';

type Json = Record<string, unknown>;

export interface OpenApi {
  openapi: string;
  info: { title: string; version: string };
  paths: Record<string, Record<string, Json>>;
  components?: { schemas?: Record<string, Json> };
}

export interface Answer {
  method: string;
  /** As in the document, e.g. `/v1/vms/{id}`. */
  path: string;
  status: number;
  contentType: string;
  body: string;
}

const PREFIX = '#/components/schemas/';

/** The schema with every reference replaced by what it names, closed to members it does not name. */
export function whole(document: OpenApi, node: unknown): unknown {
  if (Array.isArray(node)) return node.map((item) => whole(document, item));
  if (typeof node !== 'object' || node === null) return node;
  const { $ref } = node as { $ref?: unknown };
  if (typeof $ref === 'string') {
    const named = document.components?.schemas?.[$ref.slice(PREFIX.length)];
    if (!$ref.startsWith(PREFIX) || named === undefined) throw new Error(`${$ref} leads nowhere`);
    return whole(document, named);
  }
  const copy = Object.fromEntries(Object.entries(node).flatMap(([key, value]) => (key === '$id' ? [] : [[key, whole(document, value)]])));
  return copy.type === 'object' && copy.properties !== undefined ? { additionalProperties: false, ...copy } : copy;
}

function schemaFor(document: OpenApi, { method, path, status, contentType }: Answer): unknown {
  const operation = document.paths[path]?.[method.toLowerCase()] as
    | { responses?: Record<string, { content?: Record<string, Json> }> }
    | undefined;
  if (!operation?.responses) throw new Error(`the document has no ${method} ${path}`);
  const { responses } = operation;
  const response = responses[String(status)] ?? responses[`${String(status)[0]}XX`];
  if (!response) throw new Error(`the document has no status ${status} for ${method} ${path}`);
  const type = contentType.split(';')[0]!.trim();
  const media = response.content?.[type];
  if (!media) throw new Error(`the document has no ${type} for ${method} ${path}, status ${status}`);
  return whole(document, media.schema);
}

/** Throws when the answer is not one that the document allows. */
export function checkAnswer(document: OpenApi, answer: Answer): void {
  const schema = schemaFor(document, answer) as Parameters<typeof Schema.Compile>[0];
  const value = JSON.parse(answer.body) as unknown;
  const [ok, errors] = Schema.Errors(schema, value);
  if (!ok)
    throw new Error(
      `${answer.method} ${answer.path} ${answer.status}: ${JSON.stringify(errors.slice(0, 3))} in ${answer.body.slice(0, 300)}`,
    );
}

/** What makes a document one that OpenAPI 3.1 allows, as far as this API uses it. */
export function documentProblems(document: OpenApi): string[] {
  const problems: string[] = [];
  const say = (where: string, what: string): number => problems.push(`${where}: ${what}`);
  if (!document.openapi.startsWith('3.1.')) say('openapi', document.openapi);
  if (!document.info.title || !document.info.version) say('info', 'title and version are required');
  const ids = new Set<string>();
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const where = `${method} ${path}`;
      const {
        operationId,
        summary,
        parameters = [],
        responses = {},
      } = operation as {
        operationId?: string;
        summary?: string;
        parameters?: { name?: string; in?: string; required?: boolean; schema?: unknown }[];
        responses?: Record<string, { description?: string; content?: Record<string, Json> }>;
      };
      if (!operationId || ids.has(operationId)) say(where, `operationId ${operationId} is missing or not unique`);
      ids.add(operationId ?? '');
      if (!summary) say(where, 'no summary');
      const inPath = [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1]);
      const declared = parameters.filter((parameter) => parameter.in === 'path' && parameter.required).map(({ name }) => name);
      if (inPath.join() !== declared.join()) say(where, `path parameters ${inPath} but declared ${declared}`);
      for (const parameter of parameters)
        if (!parameter.name || !parameter.in || !parameter.schema) say(where, `parameter ${JSON.stringify(parameter)}`);
      if (Object.keys(responses).length === 0) say(where, 'no responses');
      for (const [status, response] of Object.entries(responses)) {
        if (!/^([1-5]\d\d|[1-5]XX|default)$/.test(status)) say(where, `status ${status}`);
        if (!response.description) say(where, `status ${status} has no description`);
        for (const media of Object.values(response.content ?? {})) {
          try {
            Schema.Compile(whole(document, media.schema) as Parameters<typeof Schema.Compile>[0]);
          } catch (error) {
            say(where, `status ${status}: ${String(error)}`);
          }
        }
      }
    }
  }
  return problems;
}
