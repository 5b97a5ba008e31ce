/**
 * Errors as problem documents (RFC 9457). The one place where a failure's code becomes an HTTP status. Input: anything
 * thrown; output: status and body. What is not ours is a 500 that tells nothing of the inside.
 */
import Type, { type Static } from 'typebox';
import { type ErrorCode, isHeadroomError } from '../../shared/errors.ts';

export const ProblemSchema = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String(),
    /** Where in a policy file, from 1: the first mistake. */
    line: Type.Optional(Type.Integer()),
    column: Type.Optional(Type.Integer()),
    field: Type.Optional(Type.String()),
    mistakes: Type.Optional(
      Type.Array(
        Type.Object({
          line: Type.Integer(),
          column: Type.Integer(),
          field: Type.Union([Type.String(), Type.Null()]),
          detail: Type.String(),
        }),
        { description: 'Each mistake found in a policy file' },
      ),
    ),
    /** Names the request in the aggregator's log. */
    requestId: Type.Optional(Type.String()),
  },
  { $id: 'Problem', additionalProperties: false },
);
/** Names it where it is answered: the application knows it by its name. */
export const PROBLEM = { $ref: 'Problem#' };
export type Problem = Static<typeof ProblemSchema>;

const STATUS: Partial<Record<ErrorCode, [status: number, title: string]>> = {
  USAGE: [400, 'Bad request'],
  CONFIG_INVALID: [400, 'Bad request'],
  POLICY_INVALID: [422, 'The policy file is not valid'],
  TEMPLATE_INVALID: [422, 'The template file is not valid'],
  PERMISSION: [403, 'Not allowed'],
  UNAUTHENTICATED: [401, 'Show who you are'],
  RATE_LIMITED: [429, 'Too many requests'],
  NOT_FOUND: [404, 'Not found'],
  CONFLICT: [409, 'Conflict'],
  VERSION_CHANGED: [412, 'It was changed meanwhile'],
  TIMEOUT: [504, 'It took too long'],
  UNAVAILABLE: [503, 'Not available'],
  STORE_UNAVAILABLE: [503, 'The series store is not available'],
  STORE_FULL: [503, 'The series store is full'],
  HYPERVISOR_UNAVAILABLE: [503, 'The hypervisor is not available'],
};

const problem = (status: number, title: string, code: string, detail: string): Problem => ({
  type: 'about:blank',
  title,
  status,
  detail,
  code,
});

export function problemOf(error: unknown): Problem {
  if (isHeadroomError(error)) {
    const [status, title] = STATUS[error.code] ?? [500, 'Internal error'];
    const told = problem(status, title, error.code, status === 500 ? 'see the log of the aggregator' : error.message);
    return error.code === 'POLICY_INVALID' || error.code === 'TEMPLATE_INVALID' ? { ...told, ...mistakesIn(error.message) } : told;
  }
  const { statusCode, message } = error as { statusCode?: unknown; message?: unknown };
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return problem(statusCode, 'Bad request', 'USAGE', String(message));
  }
  return problem(500, 'Internal error', 'INTERNAL', 'see the log of the aggregator');
}

/** The parser of policy files tells one mistake a line, each with its place. */
const MISTAKE = /^line (\d+), column (\d+)(?:, (?:field ([^:]+)|the whole policy))?: (.*)$/;

function mistakesIn(message: string): Pick<Problem, 'line' | 'column' | 'field' | 'mistakes'> {
  const mistakes = message.split('\n').flatMap((text) => {
    const found = MISTAKE.exec(text);
    return found ? [{ line: Number(found[1]), column: Number(found[2]), field: found[3] ?? null, detail: found[4] ?? '' }] : [];
  });
  const first = mistakes[0];
  if (!first) return {};
  return { line: first.line, column: first.column, ...(first.field === null ? {} : { field: first.field }), mistakes };
}
