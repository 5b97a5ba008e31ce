/**
 * Metrics an application in the guest writes itself: a file of `name value` lines, read at each sample and reported as
 * `vm_app.NAME`. They are claims like everything a guest says. Lines that are not `name value` are left out.
 */
import type { AppNames } from '../core/app-names.ts';
import { type Collector, noData, reading } from './collector.ts';
import type { KernelFiles } from './files.ts';

/** Metrics taken from one file at most: other sources shall find room. */
const APP_METRICS_MAX = 64;
const LINE = /^([A-Za-z][A-Za-z0-9_]{0,63})\s+(-?[0-9.]+(?:[eE][+-]?[0-9]+)?)$/;

/** `path` is relative to the reader's root. `fields` grows as names are seen, up to the limit. */
export function createAppMetrics(files: KernelFiles, path: string, names: AppNames): Collector {
  const fields: string[] = [];
  const known = new Map<string, string>();
  return {
    name: 'app-metrics',
    fields,
    required: [],
    update() {
      const bytes = files.readBytes(path);
      if (bytes === null) return noData(`no metrics file ${path}`);
      const text = bytes.toString('latin1');
      const values: Record<string, number> = {};
      for (const line of text.split('\n')) {
        const match = LINE.exec(line.trim());
        if (!match) continue;
        const field = known.get(match[1]!) ?? (fields.length < APP_METRICS_MAX ? names.fieldFor(match[1]!) : null);
        if (field === null) continue;
        if (!known.has(match[1]!)) fields.push(field);
        known.set(match[1]!, field);
        values[field] = Number(match[2]);
      }
      return reading(values);
    },
  };
}
