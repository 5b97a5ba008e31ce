/**
 * Errors as problem documents (RFC 9457). The one place where a failure's code becomes an HTTP status. Input: anything
 * thrown; output: status and body. What is not ours is a 500 that tells nothing of the inside.
 */
import Type, { type Static } from 'typebox';
import { type ErrorCode, type HeadroomError, isHeadroomError } from '../../shared/errors.ts';

export const ProblemSchema = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String(),
    /** Where in a policy file, from 1. */
    line: Type.Optional(Type.Integer()),
    column: Type.Optional(Type.Integer()),
  },
  { $id: 'Problem', additionalProperties: false },
);
export type Problem = Static<typeof ProblemSchema>;

const STATUS: Partial<Record<ErrorCode, [status: number, title: string]>> = {
  USAGE: [400, 'Bad request'],
  CONFIG_INVALID: [400, 'Bad request'],
  POLICY_INVALID: [422, 'The policy file is not valid'],
  PERMISSION: [403, 'Not allowed'],
  NOT_FOUND: [404, 'Not found'],
  CONFLICT: [409, 'Conflict'],
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
    return { ...problem(status, title, error.code, status === 500 ? 'see the log of the aggregator' : error.message), ...placeOf(error) };
  }
  const { statusCode, message } = error as { statusCode?: unknown; message?: unknown };
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return problem(statusCode, 'Bad request', 'USAGE', String(message));
  }
  return problem(500, 'Internal error', 'INTERNAL', 'see the log of the aggregator');
}

/** A policy's mistakes are told one a line, each beginning with its place; the first one's place is also given apart. */
function placeOf({ code, message }: HeadroomError): Pick<Problem, 'line' | 'column'> {
  const place = code === 'POLICY_INVALID' ? /line (\d+), column (\d+)/.exec(message) : null;
  return place ? { line: Number(place[1]), column: Number(place[2]) } : {};
}
