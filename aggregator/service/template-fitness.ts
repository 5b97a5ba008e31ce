/**
 * Which hosts could make a VM of a template: asked before any is ordered there, and again from time to time, so that a host that
 * lacks the image, its right checksum, a network or the room is passed over and not tried. Input: templates in use, hosts, their
 * answers; output: per template and host nothing, or what it lacks, in words.
 */
import type { HostId } from '../../shared/ids.ts';
import type { BuildChecks } from '../execute/build-checks.ts';
import type { SteadyTime } from './steady-time.ts';
import type { KnownTemplate } from './template-keeper.ts';

interface Answer {
  /** Null: it could. */
  lacks: string | null;
  askAgainAtMs: number;
}

/** Images and networks are changed by hand, and the host looks again anyway when it makes one. */
const FIT_MS = 600_000;
/** Somebody may be about to bring what is missing. */
const UNFIT_MS = 30_000;

export class TemplateFitness {
  readonly #options: { checks: Pick<BuildChecks, 'check'>; time: SteadyTime };
  readonly #answers = new Map<string, Answer>();
  readonly #asking = new Set<string>();

  constructor(options: { checks: Pick<BuildChecks, 'check'>; time: SteadyTime }) {
    this.#options = options;
  }

  /** Asks those that have not answered lately. */
  ask(template: KnownTemplate, hosts: readonly HostId[]): void {
    const nowMs = this.#options.time.nowMs();
    for (const host of hosts) {
      const key = keyOf(template.id, host);
      if (this.#asking.has(key) || nowMs < (this.#answers.get(key)?.askAgainAtMs ?? 0)) continue;
      this.#asking.add(key);
      void this.#ask(template, host, key);
    }
  }

  /** Null: nothing speaks against it. */
  objection(templateId: string, host: HostId): string | null {
    const answer = this.#answers.get(keyOf(templateId, host));
    return answer === undefined ? 'it has not said yet whether it can' : answer.lacks;
  }

  /** One could not be made there after all. */
  doubt(templateId: string, host: HostId): void {
    const answer = this.#answers.get(keyOf(templateId, host));
    if (answer !== undefined) answer.askAgainAtMs = 0;
  }

  async #ask(template: KnownTemplate, host: HostId, key: string): Promise<void> {
    const { checks, time } = this.#options;
    const { outcome, reason } = await checks.check(host, { ...template.build, name: template.name });
    const lacks = outcome === 'applied' ? null : reason;
    this.#answers.set(key, { lacks, askAgainAtMs: time.nowMs() + (lacks === null ? FIT_MS : UNFIT_MS) });
    this.#asking.delete(key);
  }
}

const keyOf = (templateId: string, host: HostId): string => `${templateId} ${host}`;
