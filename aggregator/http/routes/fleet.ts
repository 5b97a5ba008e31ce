/**
 * /v1/fleet: what the aggregator that holds the fleet asks of the others. Not for people, and not in the document: who asks shows the word
 * that stands beside the hold in the shared table, which nobody reads who does not take part. Input: requests; output: our part, orders
 * passed on to our hosts.
 */
import { timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { HeadroomError } from '../../../shared/errors.ts';
import { BUILD_PATH, type FleetHold, SIGHT_PATH, wordsOf } from '../fleet-peers.ts';
import type { FleetDesk } from '../fleet-service.ts';
import { askedIn, orderIn, toldText } from '../fleet-wire.ts';

export interface FleetRoutesOptions {
  desk: FleetDesk;
  /** As the shared table has it; null = nobody has, or it is not known now. */
  holder: () => FleetHold | null;
}

export function fleetRoutes(app: FastifyInstance, { desk, holder }: FleetRoutesOptions): void {
  const options = {
    schema: { hide: true },
    config: { role: 'everybody' },
    onRequest: async (request: FastifyRequest): Promise<void> => checkWord(request, holder()),
  } as const;
  app.post(SIGHT_PATH, options, (request, reply) => reply.type('application/json').send(toldText(desk.tell(askedIn(request.body)))));
  app.post(BUILD_PATH, options, (request) => {
    const { host, frame } = orderIn(request.body);
    return { passed: desk.pass(host, frame) };
  });
}

function checkWord({ headers }: FastifyRequest, holder: FleetHold | null): void {
  if (holder === null || holder.word === '') throw new HeadroomError('UNAVAILABLE', 'it is not known here who holds the fleet');
  const [given, expected] = [Buffer.from(headers.authorization ?? ''), Buffer.from(wordsOf(holder))];
  if (given.length !== expected.length || !timingSafeEqual(given, expected))
    throw new HeadroomError('UNAUTHENTICATED', 'only the aggregator that holds the fleet asks this, by the word of its hold');
}
