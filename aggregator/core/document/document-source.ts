/**
 * The text of a file that people write (policy, template) → its checked document, or an error that names line, column and
 * field of each mistake and what is allowed there. YAML 1.2 (JSON is part of it); positions come from the parser's own tree.
 */
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { type Document, isMap, isNode, isSeq, LineCounter, parseDocument } from 'yaml';
import { type ErrorCode, HeadroomError } from '../../../shared/errors.ts';

/** Far beyond any fleet's policy; keeps a hostile upload from costing much. */
const SOURCE_CHARACTERS_MAX = 1024 * 1024;

export type PathPart = string | number;

/** A document, and where in its source a field stands: for mistakes found after the shape was checked. */
export interface DocumentSource<T> {
  document: T;
  mistakeAt(path: readonly PathPart[], what: string): HeadroomError;
}

export interface DocumentKind<T extends TSchema> {
  schema: T;
  /** What people call it, as in "the policy is empty". */
  name: string;
  code: ErrorCode;
  /** The line every such file begins with. */
  firstLine: string;
}

/** A reader of such texts; it throws the kind's error. The schema is compiled once, here. */
export function documentReader<T extends TSchema>(kind: DocumentKind<T>): (source: string) => DocumentSource<Static<T>> {
  const { schema, name, code, firstLine } = kind;
  const check = Compile(schema);
  const mistakes = (lines: readonly string[]): HeadroomError => new HeadroomError(code, lines.join('\n'));
  return (source) => {
    if (source.length > SOURCE_CHARACTERS_MAX) {
      throw mistakes([`the ${name} has ${source.length} characters; ${SOURCE_CHARACTERS_MAX} are accepted`]);
    }
    const lines = new LineCounter();
    const yaml = parseDocument(source, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
    const problem = yaml.errors[0] ?? yaml.warnings[0];
    if (problem) throw mistakes([`${position(lines, problem.pos[0])}: ${problem.message.split('\n')[0]}`]);
    const value = toPlain(yaml);
    if (value instanceof Error) throw mistakes([`line 1, column 1: ${value.message}`]);
    if (value === null) throw mistakes([`line 1, column 1: the ${name} is empty; begin with "${firstLine}"`]);
    const at = (path: readonly PathPart[], what: string): string =>
      `${placeOf(yaml, lines, path)}, ${path.length === 0 ? `the whole ${name}` : fieldName(path)}: ${what}`;
    // The checker stops after its first few errors, so a file full of mistakes is told in portions.
    if (!check.Check(value)) throw mistakes(explain(schema, check.Errors(value), value, at));
    return { document: value as Static<T>, mistakeAt: (path, what) => mistakes([at(path, what)]) };
  };
}

/** An error where there is no plain value: aliases that multiply without end. */
function toPlain(yaml: Document): unknown {
  try {
    return yaml.toJS({ maxAliasCount: 100 }) as unknown;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

type Mistakes = ReturnType<ReturnType<typeof Compile>['Errors']>;

function explain(schema: TSchema, errors: Mistakes, value: unknown, at: (path: readonly PathPart[], what: string) => string): string[] {
  const told = new Map<string, string>();
  const unknown = (path: PathPart[]): void => {
    const allowed = Object.keys(described(schema, path.slice(0, -1)).properties ?? {}).join(', ');
    told.set(JSON.stringify(path), at(path, `unknown field "${path.at(-1)}"; allowed here: ${allowed}`));
  };
  for (const error of errors) {
    const path = pathOf(error.instancePath, value);
    const found = described(schema, path);
    if (error.keyword === 'boolean') unknown(path);
    else if (error.keyword === 'additionalProperties') {
      for (const key of (error.params as { additionalProperties: string[] }).additionalProperties) unknown([...path, key]);
    } else if (error.keyword === 'required') {
      const missing = (error.params as { requiredProperties: string[] }).requiredProperties;
      const what = missing.map((key) => `"${key}" is missing: expected ${expected(described(schema, [...path, key]))}`);
      told.set(JSON.stringify(path), at(path, what.join('; ')));
    } else if (!told.has(JSON.stringify(path))) {
      told.set(JSON.stringify(path), at(path, `${JSON.stringify(valueAt(value, path))} is not accepted; expected ${expected(found)}`));
    }
  }
  return [...told.values()];
}

interface SchemaNode {
  description?: string;
  type?: string;
  properties?: Record<string, SchemaNode>;
  items?: SchemaNode;
  patternProperties?: Record<string, SchemaNode>;
  additionalProperties?: SchemaNode | boolean;
}

/** The schema of a field, as far down as it is known. */
function described(schema: TSchema, path: readonly PathPart[]): SchemaNode {
  let node = schema as SchemaNode;
  for (const part of path) {
    const records = Object.values(node.patternProperties ?? {});
    const next: SchemaNode | undefined = typeof part === 'number' ? node.items : (node.properties?.[part] ?? records[0]);
    if (next === undefined) break;
    node = next;
  }
  return node;
}

function expected(node: SchemaNode): string {
  if (node.description !== undefined) return node.description;
  if (node.properties) return `a mapping with ${Object.keys(node.properties).join(', ')}`;
  return `a value of type ${node.type ?? 'unknown'}`;
}

function pathOf(pointer: string, value: unknown): PathPart[] {
  const path: PathPart[] = [];
  let current = value;
  for (const raw of pointer.split('/').slice(1)) {
    const key = raw.replaceAll('~1', '/').replaceAll('~0', '~');
    const part = Array.isArray(current) ? Number(key) : key;
    path.push(part);
    current = valueAt(current, [part]);
  }
  return path;
}

function valueAt(value: unknown, path: readonly PathPart[]): unknown {
  let current = value;
  for (const part of path) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, part)) return undefined;
    current = (current as Record<PathPart, unknown>)[part];
  }
  return current;
}

/** Position of the key (or list item) at a path; of the nearest parent that stands in the source otherwise. */
function placeOf(yaml: Document, lines: LineCounter, path: readonly PathPart[]): string {
  let node: unknown = yaml.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isNode(key) && String((key as { value?: unknown }).value) === String(part));
      if (!pair) break;
      if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(part)];
      if (isNode(node)) offset = node.range?.[0] ?? offset;
    } else break;
  }
  return position(lines, offset);
}

function position(lines: LineCounter, offset: number): string {
  const { line, col } = lines.linePos(offset);
  return `line ${line}, column ${col}`;
}

function fieldName(path: readonly PathPart[]): string {
  return `field ${path.map((part, i) => (typeof part === 'number' ? `[${part}]` : i === 0 ? part : `.${part}`)).join('')}`;
}
