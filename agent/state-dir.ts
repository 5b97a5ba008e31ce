/**
 * The host agent's state directory: `journal/UUID.json`, `kill/host`, `kill/UUID`, `lift/UUID[.RESOURCE]`. Every file is
 * written beside its place, fsynced, renamed, and the directory fsynced: after kill -9 or a power cut there is the old
 * file or the new one, whole.
 */
import {
  closeSync,
  fchownSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { errorText, HeadroomError } from '../shared/errors.ts';
import { type VmId, vmId } from '../shared/ids.ts';
import { RESOURCES, type Resource } from '../shared/resources.ts';
import { checkRecord } from './core/journal-check.ts';
import type { KillSwitches, LiftRequest, StateFiles } from './loops/state-files.ts';

const HOST_SWITCH = 'host';
const UUID_FILE = /^[0-9a-f-]{36}$/;

/** Makes the directory if it is not there; throws ENVIRONMENT when that or a later write fails. */
export function openStateDir(directory: string): StateFiles {
  const at = (kind: 'journal' | 'kill' | 'lift', name = ''): string => join(directory, kind, name);
  guarded(`make ${directory}`, () => {
    // Journals hold values to be written back to libvirt: only the agent and root may change them.
    for (const kind of ['journal', 'kill', 'lift'] as const) mkdirSync(at(kind), { recursive: true, mode: 0o700 });
  });
  return {
    load: () => loadRecords(at('journal')),
    save: (record) => writeDurably(at('journal'), `${record.vm}.json`, JSON.stringify(record)),
    remove: (vm) => removeFile(at('journal', `${vm}.json`)),
    kills: () => readKills(at('kill')),
    setKill(vm, reason) {
      const name = vm ?? HOST_SWITCH;
      if (reason === null) removeFile(at('kill', name));
      else writeDurably(at('kill'), name, reason);
    },
    requestLift: ({ vm, resource }) => writeDurably(at('lift'), resource === null ? vm : `${vm}.${resource}`, ''),
    takeLifts() {
      const requests: LiftRequest[] = [];
      for (const name of readdirSync(at('lift'))) {
        const request = liftRequest(name);
        if (request) requests.push(request);
        removeFile(at('lift', name));
      }
      return requests;
    },
  };
}

function liftRequest(name: string): LiftRequest | null {
  const [vm = '', resource] = name.split('.');
  if (!UUID_FILE.test(vm)) return null;
  if (resource === undefined) return { vm: vmId(vm), resource: null };
  return RESOURCES.includes(resource as Resource) ? { vm: vmId(vm), resource: resource as Resource } : null;
}

function loadRecords(directory: string): ReturnType<StateFiles['load']> {
  const records = [];
  const problems: string[] = [];
  for (const name of readdirSync(directory).filter((file) => file.endsWith('.json'))) {
    const path = join(directory, name);
    const check = checkRecord(readFileSync(path, 'utf8'));
    if (check.ok) {
      records.push(check.record);
    } else {
      renameSync(path, `${path}.broken`);
      problems.push(`journal ${path}: ${check.problem}; it was set aside as ${name}.broken`);
    }
  }
  return { records, problems };
}

function readKills(directory: string): KillSwitches {
  const vms = new Map<VmId, string>();
  let host: string | null = null;
  for (const name of readdirSync(directory)) {
    // A switch that cannot be read is a switch that is on.
    if (name === HOST_SWITCH) host = reasonIn(join(directory, name));
    else if (UUID_FILE.test(name)) vms.set(name as VmId, reasonIn(join(directory, name)));
  }
  return { host, vms };
}

function reasonIn(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim() || 'no reason given';
  } catch {
    return 'no reason given';
  }
}

/** Makes the directory if it is not there. Throws ENVIRONMENT. */
export function writeDurably(directory: string, name: string, text: string): void {
  const path = join(directory, name);
  guarded(`write ${path}`, () => {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const temporary = join(directory, `.${name}.new`);
    const file = openSync(temporary, 'w', 0o600);
    try {
      // What root's commands write, the service must read: it runs as the directory's owner.
      const { uid, gid } = statSync(directory);
      if (process.getuid?.() === 0 && uid !== 0) fchownSync(file, uid, gid);
      writeFileSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    const parent = openSync(directory, 'r');
    try {
      fsyncSync(parent);
    } finally {
      closeSync(parent);
    }
  });
}

export function removeFile(path: string): void {
  guarded(`remove ${path}`, () => rmSync(path, { force: true }));
}

function guarded(what: string, run: () => void): void {
  try {
    run();
  } catch (error) {
    throw new HeadroomError('ENVIRONMENT', `could not ${what}: ${errorText(error)}`, { cause: error });
  }
}
