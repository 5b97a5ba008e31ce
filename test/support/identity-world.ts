/**
 * An aggregator's ingest with agent keys, over real TLS, for tests of identity: certificate authority, registry, ledger in
 * memory, server, and agents of the real uplink with real key files.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openAgentKey } from '../../agent/agent-key.ts';
import { HOST_BUFFER_LIMITS, SampleBuffer } from '../../agent/core/sample-buffer.ts';
import { createUplink, type Prover, type Uplink } from '../../agent/loops/uplink.ts';
import { makeAuthority, makeServerCertificate, type PemPair } from '../../aggregator/cli/tls/development-ca.ts';
import { AgentRegistry, type AgentRegistryOptions } from '../../aggregator/identity/agent-registry.ts';
import { SecurityLog } from '../../aggregator/identity/security-log.ts';
import { createIngest, type Ingest, type IngestOptions } from '../../aggregator/ingest/ingest.ts';
import { serveAgents } from '../../aggregator/ingest/serve-agents.ts';
import type { LedgerStore } from '../../aggregator/store/ledger-store.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { type Clock, systemClock } from '../../shared/clock.ts';
import type { HeadroomError } from '../../shared/errors.ts';
import { createLogger } from '../../shared/log.ts';
import type { Connect } from '../../shared/net/transport.ts';
import { webSocketConnect } from '../../shared/net/websocket.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX, type FrameOf } from '../../shared/protocol/frames.ts';
import { helloFrame, inventoryFrame, MemoryStore, RecordingSink } from './wire-world.ts';

/** A clock whose wall time can be moved on. */
export function movableClock(): Clock & { moveMs: number } {
  const clock = { ...systemClock, moveMs: 0, wallMs: () => systemClock.wallMs() + clock.moveMs };
  return clock;
}

export interface IdentityWorld {
  url: string;
  ca: string;
  ingest: Ingest;
  registry: AgentRegistry;
  ledger: LedgerStore;
  sink: RecordingSink;
  store: MemoryStore;
  clock: ReturnType<typeof movableClock>;
  problems: { code: string; message: string; agent: string | null }[];
  /** Codes of refusals and other events in the ledger, oldest first. */
  audit(): Promise<{ event: string; subject: string; code: string | null; reason: string }[]>;
  close(): Promise<void>;
}

let authority: Promise<PemPair> | undefined;

export async function identityWorld(
  over: Partial<Pick<AgentRegistryOptions, 'always' | 'keyMsMax'>> & Pick<IngestOptions, 'mayMove' | 'limits'> = {},
): Promise<IdentityWorld> {
  authority ??= makeAuthority(Date.now(), 1);
  const ca = await authority;
  const tls = await makeServerCertificate(ca, ['localhost', '127.0.0.1'], Date.now(), 1);
  const clock = movableClock();
  const ledger = createMemoryLedgerStore();
  const security = new SecurityLog(
    ledger,
    clock,
    createLogger(() => undefined, clock, 'error'),
  );
  const sink = new RecordingSink();
  const store = new MemoryStore();
  const problems: IdentityWorld['problems'] = [];
  const { always = true, keyMsMax = 90 * 86_400_000, ...ingestOver } = over;
  const registry = await AgentRegistry.load({
    ...{ ledger, clock, security, always, keyMsMax },
    evict: (agent, error) => ingest.evict(agent, error),
  });
  const ingest: Ingest = createIngest({
    ...{ clock, store, sink, epoch: 7, identities: registry },
    ownsVm: (vm) => sink.owners.get(vm) ?? null,
    onProblem: (peer: string, error: HeadroomError, agent: string | null) => {
      problems.push({ code: error.code, message: error.message, agent });
      security.refuseAgent(peer, error, agent);
    },
    ...ingestOver,
  });
  const server = await serveAgents(ingest, { tls });
  return {
    ...{ url: server.url, ca: ca.cert, ingest, registry, ledger, sink, store, clock, problems },
    async audit() {
      const entries = await ledger.entries({ limit: 1000, kind: 'security' });
      return entries.flatMap(({ body }) => (body.kind === 'security' ? [body] : []));
    },
    async close() {
      await ingest.stop();
      await server.close();
      await ledger.close();
    },
  };
}

/** A file that holds a token, as an operator would bring it to a host. */
export function tokenFile(directory: string, token: string): string {
  const file = join(mkdtempSync(join(directory, 'token-')), 'token');
  writeFileSync(file, `${token}\n`, { mode: 0o600 });
  return file;
}

export interface TestAgent {
  uplink: Uplink;
  buffer: SampleBuffer;
  welcomes: FrameOf<'welcome'>[];
  errors: string[];
}

export interface TestAgentOptions {
  world: Pick<IdentityWorld, 'url' | 'ca'>;
  hello: Partial<FrameOf<'hello'>>;
  stateDir?: string;
  token?: string | null;
  prover?: Prover;
  connect?: Connect;
  vms?: readonly string[];
}

/** The real uplink, which connects at once and again and again. */
export function testAgent({ world, hello, stateDir, token = null, prover, connect, vms = [] }: TestAgentOptions): TestAgent {
  const buffer = new SampleBuffer(HOST_BUFFER_LIMITS);
  const welcomes: FrameOf<'welcome'>[] = [];
  const errors: string[] = [];
  const key = prover ?? (stateDir === undefined ? undefined : openAgentKey(stateDir, token === null ? null : tokenFile(stateDir, token)));
  const uplink: Uplink = createUplink({
    role: hello.role ?? 'host',
    connect: connect ?? webSocketConnect(world.url, FRAME_BYTES_MAX, world.ca),
    clock: systemClock,
    prng: createPrng(1, hello.host ?? hello.vm ?? ''),
    hello: () => helloFrame(hello),
    buffer,
    flushMs: 20,
    backoff: { baseMs: 20, capMs: 100 },
    ...(key === undefined ? {} : { prover: key }),
    handlers: {
      onWelcome: (welcome) => {
        welcomes.push(welcome);
        if (hello.role !== 'guest') uplink.send(inventoryFrame(vms));
      },
      onDisconnected: (error) => errors.push(error?.message ?? ''),
    },
  });
  uplink.start();
  return { uplink, buffer, welcomes, errors };
}
