import type { VmView } from '../aggregator/http/service.ts';
import { errorText, HeadroomError } from '../shared/errors.ts';

/** Loopback: an answer that takes longer is not coming. */
const ANSWER_MS = 10_000;

export class Api {
  readonly address: string;

  constructor(address: string) {
    this.address = address;
  }

  async get<T>(path: string): Promise<T> {
    const url = `${this.address}${path}`;
    try {
      const answer = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) });
      if (!answer.ok) throw new HeadroomError('UNAVAILABLE', `status ${answer.status}: ${(await answer.text()).slice(0, 300)}`);
      return (await answer.json()) as T;
    } catch (error) {
      throw new HeadroomError('UNAVAILABLE', `GET ${url} failed: ${errorText(error)}`, { cause: error });
    }
  }

  /** The VMs there are: a demo has four, a page holds a hundred. */
  async vms(): Promise<VmView[]> {
    return (await this.get<{ items: VmView[] }>('/v1/vms')).items;
  }

  vm(id: string): Promise<VmView> {
    return this.get(`/v1/vms/${encodeURIComponent(id)}`);
  }
}
