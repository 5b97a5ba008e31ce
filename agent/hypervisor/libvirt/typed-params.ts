/**
 * libvirt's typed parameters: named values that carry their type. Decoding gives numbers, booleans and strings by name;
 * encoding needs the exact type libvirt expects for each name (quotas are signed 64 bit, shares and I/O limits unsigned
 * 64 bit, interface limits unsigned 32 bit), or it refuses.
 */
import { HeadroomError } from '../../../shared/errors.ts';
import type { XdrReader, XdrWriter } from './xdr.ts';

export type ParamType = 'int' | 'uint' | 'llong' | 'ullong' | 'double' | 'boolean' | 'string';
export type ParamValue = number | string | boolean;
export type Params = Record<string, ParamValue>;

export interface TypedParam {
  name: string;
  type: ParamType;
  value: ParamValue;
}

/** Type codes of virTypedParameterType. */
const TYPE_CODES: Record<ParamType, number> = { int: 1, uint: 2, llong: 3, ullong: 4, double: 5, boolean: 6, string: 7 };
/** Name's length, type and the smallest value: what an array element takes at least. */
const PARAM_BYTES_MIN = 12;

export function writeParams(writer: XdrWriter, params: readonly TypedParam[]): XdrWriter {
  writer.u32(params.length);
  for (const { name, type, value } of params) {
    writer.string(name).i32(TYPE_CODES[type]);
    if (type === 'string') writer.string(String(value));
    else if (type === 'boolean') writer.i32(value ? 1 : 0);
    else if (type === 'double') writer.f64(Number(value));
    else writeInteger(writer, name, type, Number(value));
  }
  return writer;
}

function writeInteger(writer: XdrWriter, name: string, type: 'int' | 'uint' | 'llong' | 'ullong', value: number): void {
  const signed = type === 'int' || type === 'llong';
  if (!Number.isSafeInteger(value) || (!signed && value < 0)) {
    throw new HeadroomError('HYPERVISOR_REFUSED', `${name} = ${value} is not a value libvirt's type ${type} can hold`);
  }
  if (type === 'int') writer.i32(value);
  else if (type === 'uint') writer.u32(value);
  else if (type === 'llong') writer.i64(value);
  else writer.u64(value);
}

export function readParams(reader: XdrReader): Params {
  const params: Params = Object.create(null);
  const count = reader.arrayLength(PARAM_BYTES_MIN);
  for (let i = 0; i < count; i++) {
    const name = reader.string();
    params[name] = readValue(reader);
  }
  return params;
}

function readValue(reader: XdrReader): ParamValue {
  const code = reader.i32();
  switch (code) {
    case TYPE_CODES.int:
      return reader.i32();
    case TYPE_CODES.uint:
      return reader.u32();
    case TYPE_CODES.llong:
      return reader.i64();
    case TYPE_CODES.ullong:
      return reader.u64();
    case TYPE_CODES.double:
      return reader.f64();
    case TYPE_CODES.boolean:
      return reader.i32() !== 0;
    case TYPE_CODES.string:
      return reader.string();
    default:
      throw new HeadroomError('HYPERVISOR_UNAVAILABLE', `libvirt sent a parameter of unknown type ${code}`);
  }
}

/** A number by name; undefined when absent or not a number: missing is unknown. */
export function numberOf(params: Params, name: string): number | undefined {
  const value = params[name];
  return typeof value === 'number' ? value : undefined;
}
