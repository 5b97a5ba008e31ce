/**
 * The key an agent is known by at the aggregator: made here when it is first asked for, kept below the state directory for root
 * alone, and never sent. Input: the state directory, the file of an enrolment token; output: proofs. A new key waits beside
 * the old one until the aggregator says that it took it, so that no crash in between locks the agent out.
 */
import { join } from 'node:path';
import { errorText, HeadroomError } from '../shared/errors.ts';
import { type AgentKey, keyIdOf, makeProof, newAgentKey, readAgentKey } from '../shared/identity.ts';
import type { FrameOf } from '../shared/protocol/frames.ts';
import type { Prover } from './loops/uplink.ts';
import { readText } from './service.ts';
import { removeFile, writeDurably } from './state-dir.ts';

const FILE = 'identity.json';

interface Kept {
  /** PEM. */
  key: string;
  /** It was accepted: no token goes with it any more. */
  enrolled: boolean;
  /** Brought along, not yet accepted. */
  next: string | null;
}

/** `tokenFile`: the single-use token that enrols this agent, null once it is enrolled. */
export function openAgentKey(stateDir: string, tokenFile: string | null): Prover {
  return new KeyFile(stateDir, () => (tokenFile === null ? null : readToken(tokenFile)));
}

/** The same with a token at hand. */
export function openAgentKeyWith(stateDir: string, token: string): Prover {
  return new KeyFile(stateDir, () => token);
}

/** Did an aggregator take this agent's key? */
export function isEnrolled(stateDir: string): boolean {
  return new KeyFile(stateDir, () => null).enrolled;
}

function readToken(file: string): string {
  try {
    return readText(file).trim().slice(0, 128);
  } catch (error) {
    throw new HeadroomError('ENVIRONMENT', `the enrolment token cannot be read: ${errorText(error)}`, { cause: error });
  }
}

/** The next connection makes a new one, which a new token must enrol. */
export function forgetAgentKey(stateDir: string): void {
  removeFile(join(stateDir, FILE));
}

class KeyFile implements Prover {
  readonly #directory: string;
  readonly #token: () => string | null;

  constructor(directory: string, token: () => string | null) {
    this.#directory = directory;
    this.#token = token;
  }

  get enrolled(): boolean {
    return this.#read()?.enrolled === true;
  }

  prove({ nonce, rotate }: FrameOf<'challenge'>, hello: FrameOf<'hello'>, binding: string): FrameOf<'proof'> {
    let kept = this.#read() ?? this.#write({ key: pemOf(newAgentKey()), enrolled: false, next: null });
    if (rotate && kept.next === null) kept = this.#write({ ...kept, next: pemOf(newAgentKey()) });
    const key = readAgentKey(kept.key);
    const next = kept.next === null ? null : readAgentKey(kept.next);
    return makeProof({ hello, nonce, binding }, key, next, kept.enrolled ? null : this.#token());
  }

  accepted(keyId: string): void {
    const kept = this.#read();
    if (kept === undefined) return;
    if (kept.next !== null && keyIdOf(readAgentKey(kept.next).publicKey) === keyId) {
      this.#write({ key: kept.next, enrolled: true, next: null });
    } else if (!kept.enrolled || kept.next !== null) this.#write({ ...kept, enrolled: true, next: null });
  }

  /** Read anew each time it is asked for: an operator may have taken the file away meanwhile. */
  #read(): Kept | undefined {
    const path = join(this.#directory, FILE);
    let text: string;
    try {
      text = readText(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new HeadroomError('ENVIRONMENT', `${path} cannot be read: ${errorText(error)}`, { cause: error });
    }
    try {
      const { key, enrolled, next } = JSON.parse(text) as Kept;
      readAgentKey(key);
      return { key, enrolled: enrolled === true, next: next ?? null };
    } catch (error) {
      throw new HeadroomError('ENVIRONMENT', `${path} holds no key; take it away and enrol this agent anew`, { cause: error });
    }
  }

  #write(kept: Kept): Kept {
    writeDurably(this.#directory, FILE, JSON.stringify(kept));
    return kept;
  }
}

function pemOf({ privateKey }: AgentKey): string {
  return privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
}
