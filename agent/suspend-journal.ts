/**
 * Records of suspended and resumed VMs in a folder of the agent's state directory: one file each, durable when a call returns.
 * Input: the folder; output: records, and in words what could not be read and was set aside.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { errorText } from '../shared/errors.ts';
import type { VmId } from '../shared/ids.ts';
import { readSuspendRecord, type SuspendRecord } from './core/suspend-record.ts';
import { removeFile, writeDurably } from './state-dir.ts';

export interface SuspendJournal {
  load(): { records: SuspendRecord[]; problems: string[] };
  save(record: SuspendRecord): void;
  remove(vm: VmId): void;
}

export function openSuspendJournal(folder: string): SuspendJournal {
  const nameOf = (vm: VmId): string => `${vm}.json`;
  return {
    load() {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const records: SuspendRecord[] = [];
      const problems: string[] = [];
      for (const name of readdirSync(folder).filter((file) => file.endsWith('.json') && !file.startsWith('.'))) {
        const path = join(folder, name);
        try {
          records.push(readSuspendRecord(readFileSync(path, 'utf8')));
        } catch (error) {
          renameSync(path, `${path}.broken`);
          problems.push(`${path}: ${errorText(error)}; it was set aside as ${name}.broken`);
        }
      }
      return { records, problems };
    },
    save: (record) => writeDurably(folder, nameOf(record.vm), JSON.stringify(record)),
    remove: (vm) => removeFile(join(folder, nameOf(vm))),
  };
}
