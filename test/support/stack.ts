/**
 * Aggregator and host agent as separate processes on real libvirt, as people run them, for tests that kill them. Input:
 * folder, policy, which VMs; output: start, kill and stop of each, and the API. Everything ends with `stop`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const NODE = join(root, 'node_modules/.bin/node');

export interface StackOptions {
  folder: string;
  port: number;
  /** Text of the policy file. */
  policy: string;
  /** Name patterns of VMs to manage. */
  include: string;
  stepMs: number;
  /** More of the aggregator's configuration. */
  config?: object;
  /** Begin of the agent's command line: runs it beside a private libvirtd. */
  inside: readonly string[];
}

export class Stack {
  readonly #options: StackOptions;
  readonly #children = new Map<string, ChildProcess>();
  readonly url: string;

  constructor(options: StackOptions) {
    this.#options = options;
    this.url = `http://127.0.0.1:${options.port}`;
    mkdirSync(options.folder, { recursive: true });
    writeFileSync(this.#file('policy.yaml'), options.policy);
    const { port, stepMs } = options;
    const config = {
      listen: { host: '127.0.0.1', port },
      dataDir: this.#file('aggregator'),
      policyFile: this.#file('policy.yaml'),
      stepMs,
      planPeriodMs: stepMs,
      seasonsMs: [60_000],
      ...options.config,
    };
    writeFileSync(this.#file('aggregator.json'), JSON.stringify(config));
  }

  get stateDir(): string {
    return this.#file('agent');
  }

  startAggregator(): void {
    this.#start('aggregator', [
      NODE,
      '--disable-warning=ExperimentalWarning',
      join(root, 'aggregator/main.ts'),
      '--config',
      this.#file('aggregator.json'),
    ]);
  }

  /** `more` flags come last, and win. */
  startAgent(more: readonly string[] = []): void {
    const { inside, include, port } = this.#options;
    const flags = [
      ...['--host', 'test-host', '--aggregator', `ws://127.0.0.1:${port}/v1/agents`, '--state-dir', this.stateDir, '--include', include],
      ...['--stats-seconds', '2', '--balloon-stats-seconds', '1', '--settings-seconds', '2', '--inventory-seconds', '5'],
      ...['--boot-deadline-seconds', '5', '--startup-lease-seconds', '10', '--fail-safe-growths-per-minute', '30'],
    ];
    this.#start('agent', [...inside, ...this.#agentCommand('host'), ...flags, ...more]);
  }

  /** Runs a one-shot command of the agent and answers its output; rejects when it fails. */
  agentCommand(...args: string[]): Promise<string> {
    const [program, ...rest] = [...this.#options.inside, ...this.#agentCommand(...args)];
    const child = spawn(program!, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    return new Promise((resolve, reject) =>
      child.once('close', (code) => (code === 0 ? resolve(output) : reject(new Error(`exit ${code}: ${output}`)))),
    );
  }

  #agentCommand(...args: string[]): string[] {
    return [NODE, '--disable-warning=ExperimentalWarning', join(root, 'agent/main.ts'), ...args];
  }

  async kill(name: 'aggregator' | 'agent', signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#children.get(name);
    this.#children.delete(name);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  async get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.url}${path}`);
    if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  log(name: 'aggregator' | 'agent'): string {
    return readFileSync(this.#file(`${name}.log`), 'utf8');
  }

  async stop(): Promise<void> {
    await this.kill('agent', 'SIGTERM');
    await this.kill('aggregator', 'SIGTERM');
  }

  #file(name: string): string {
    return join(this.#options.folder, name);
  }

  #start(name: string, [program, ...args]: string[]): void {
    const output = openSync(this.#file(`${name}.log`), 'a');
    this.#children.set(name, spawn(program!, args, { stdio: ['ignore', output, output] }));
    closeSync(output);
  }
}

/** Polls until `check` answers something other than null, undefined or false; rejects with what was awaited. */
export async function eventually<T>(what: string, check: () => Promise<T> | T, timeoutMs = 60_000): Promise<NonNullable<T>> {
  let problem = '';
  for (const untilMs = Date.now() + timeoutMs; Date.now() < untilMs; ) {
    try {
      const value = await check();
      if (value !== null && value !== undefined && value !== false) return value as NonNullable<T>;
    } catch (error) {
      problem = ` (${error instanceof Error ? error.message : String(error)})`;
    }
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error(`gave up after ${timeoutMs} ms waiting for: ${what}${problem}`);
}
