/**
 * One run on a stage: waits until everybody is there, shows what happens and looks over Headroom's shoulder. Input: the
 * stage and how long; output: what was played, for the judge.
 */
import type { VmView } from '../aggregator/http/service.ts';
import { HeadroomError } from '../shared/errors.ts';
import { ROSTER } from './guests/roster.ts';
import type { Played } from './scoring/judge.ts';
import type { Stage } from './stage.ts';
import { tableLines } from './table.ts';
import type { Terminal } from './terminal.ts';

/** Emulated guests boot in 10 to 20 s each on two busy cores; their workloads rest half a minute before they begin. */
const CONNECT_MS = 300_000;
const TICK_MS = 1000;
/** virsh costs 80 ms of two guests' cores: often enough to catch each phase of a day. */
const CROSS_CHECK_MS = 15_000;

export interface RunOptions {
  /** Null = until the person at the keyboard ends it. */
  minutes: number | null;
  stage: Stage;
  terminal: Terminal;
  checkpoint: () => void;
}

const pause = (delayMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, delayMs));

async function guestViews(stage: Stage): Promise<VmView[]> {
  const names = new Set(ROSTER.map(({ name }) => name));
  return (await stage.api.vms()).filter(({ name }) => names.has(name));
}

function assertAlive(stage: Stage): void {
  const failure = stage.failure();
  if (failure !== null) throw new HeadroomError('UNAVAILABLE', failure);
}

/** Resolves when the host agent and all guest agents are connected. */
async function allConnected(options: RunOptions): Promise<VmView[]> {
  const { stage, terminal, checkpoint } = options;
  const told = new Set<string>();
  for (const untilMs = Date.now() + CONNECT_MS; Date.now() < untilMs; await pause(TICK_MS)) {
    checkpoint();
    assertAlive(stage);
    const vms = await guestViews(stage);
    for (const { name, guestAgent } of vms) {
      if (!guestAgent || told.has(name)) continue;
      told.add(name);
      terminal.say(`agent of ${name} is connected (${told.size} of ${ROSTER.length})`);
    }
    if (told.size === ROSTER.length && vms.every(({ guestAgent }) => guestAgent)) return vms;
  }
  const missing = ROSTER.filter(({ name }) => !told.has(name)).map(({ name }) => name);
  throw new HeadroomError('TIMEOUT', `agents not connected after ${CONNECT_MS / 1000} s: ${missing.join(', ')}`);
}

interface Shoulder {
  agreed: number;
  differences: string[];
}

/** Compares one guest after the other with what the hypervisor's own tool shows, beside everything else. */
function lookOverShoulder(stage: Stage, vms: readonly VmView[]): { stop(): Promise<Shoulder> } {
  const result: Shoulder = { agreed: 0, differences: [] };
  let running = true;
  const turns = async (): Promise<void> => {
    for (let turn = 0; running && stage.crossCheck !== null; turn++) {
      const vm = vms[turn % vms.length] as VmView;
      const { agreed, differences } = await stage.crossCheck(() => stage.api.vm(vm.id));
      result.agreed += agreed;
      result.differences.push(...differences);
      for (let waitedMs = 0; running && waitedMs < CROSS_CHECK_MS; waitedMs += TICK_MS) await pause(TICK_MS);
    }
  };
  const done = turns().catch((error: unknown) => {
    if (running) result.differences.push(`the comparison with virsh failed: ${error instanceof Error ? error.message : String(error)}`);
  });
  return {
    stop: async () => {
      running = false;
      await done;
      return result;
    },
  };
}

export async function runOnStage(options: RunOptions): Promise<Played> {
  const { stage, terminal, minutes, checkpoint } = options;
  const vms = await allConnected(options);
  const startMs = Date.now();
  const endMs = minutes === null ? Number.POSITIVE_INFINITY : startMs + minutes * 60_000;
  terminal.say(`all agents are connected: ${stage.description}`);
  terminal.say(`page and API: ${stage.api.address}/   OpenAPI: ${stage.api.address}/docs`);
  const shoulder = lookOverShoulder(stage, vms);
  try {
    while (Date.now() < endMs) {
      checkpoint();
      assertAlive(stage);
      const left = minutes === null ? 'Ctrl-C ends it' : `${Math.ceil((endMs - Date.now()) / 60_000)} min left`;
      terminal.draw(tableLines(await guestViews(stage), `${stage.api.address}/   ${left}`));
      await pause(TICK_MS);
    }
  } finally {
    // The last comparison ends before guests go.
    await shoulder.stop();
  }
  const { agreed, differences } = await shoulder.stop();
  if (stage.crossCheck !== null)
    terminal.say(`virsh agreed with Headroom's claim in ${agreed} of ${agreed + differences.length} comparisons`);
  return { vms, fromMs: startMs, toMs: endMs, differences };
}
