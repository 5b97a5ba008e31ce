/**
 * Values made from a JSON schema, as the HTTP API's document uses it. Input: a schema without references; output: an arbitrary of
 * values that fit it. What a schema says by `pattern` or `format` is made by the pattern; other constraints are kept.
 */
import fc from 'fast-check';

export type JsonSchema = Readonly<Record<string, unknown>>;

const NUMBER_MAX = 1e9;
const LENGTH_MAX = 12;

export function valuesOf(schema: JsonSchema): fc.Arbitrary<unknown> {
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (Array.isArray(schema.enum)) return fc.constantFrom(...(schema.enum as unknown[]));
  const choices = (schema.anyOf ?? schema.oneOf) as JsonSchema[] | undefined;
  if (choices) return fc.oneof(...choices.map(valuesOf));
  if (Array.isArray(schema.type)) return fc.oneof(...(schema.type as string[]).map((type) => valuesOf({ ...schema, type })));
  switch (schema.type) {
    case 'string':
      return stringsOf(schema);
    case 'integer':
      return fc.integer({ min: number(schema.minimum, -NUMBER_MAX), max: number(schema.maximum, NUMBER_MAX) });
    case 'number':
      return fc.double({ noNaN: true, min: number(schema.minimum, -NUMBER_MAX), max: number(schema.maximum, NUMBER_MAX) });
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'array':
      return fc.array(valuesOf((schema.items ?? {}) as JsonSchema), { minLength: number(schema.minItems, 0), maxLength: 3 });
    case 'object':
      return objectsOf(schema);
    default:
      return fc.jsonValue({ maxDepth: 2 });
  }
}

function stringsOf({ pattern, minLength, maxLength }: JsonSchema): fc.Arbitrary<string> {
  if (typeof pattern === 'string') return fc.stringMatching(new RegExp(pattern));
  const least = number(minLength, 0);
  return fc.string({ minLength: least, maxLength: Math.min(number(maxLength, Number.POSITIVE_INFINITY), least + LENGTH_MAX) });
}

function objectsOf(schema: JsonSchema): fc.Arbitrary<unknown> {
  const properties = Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>);
  if (properties.length === 0) {
    const [pattern, values] = Object.entries((schema.patternProperties ?? {}) as Record<string, JsonSchema>)[0] ?? ['^[a-z]+$', {}];
    return fc.dictionary(fc.stringMatching(new RegExp(pattern)), valuesOf(values), { maxKeys: 3 });
  }
  const requiredKeys = (schema.required ?? []) as string[];
  return fc.record(Object.fromEntries(properties.map(([name, value]) => [name, valuesOf(value)])), { requiredKeys });
}

const number = (value: unknown, otherwise: number): number => (typeof value === 'number' ? value : otherwise);
