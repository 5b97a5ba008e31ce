/**
 * The other aggregators, asked by the one that holds the fleet. Input: who lives and how they are reached, our hold with its word; output:
 * each as a FleetPeer. Rejects with UNAVAILABLE where one does not answer, or takes somebody else for the holder.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { FleetPeer, FleetPeers } from './fleet-service.ts';
import { askedText, orderText, toldIn } from './fleet-wire.ts';
import type { AskPeer, PeerAnswer } from './peer-client.ts';

/** Whoever decides what crosses hosts. Its word stands in the shared table, for those to read who take part. */
export interface FleetHold {
  epoch: number;
  word: string;
}

export const SIGHT_PATH = '/v1/fleet/sight';
export const BUILD_PATH = '/v1/fleet/builds';
const SCHEME = 'Fleet';

export const wordsOf = ({ epoch, word }: FleetHold): string => `${SCHEME} ${epoch} ${word}`;

export interface HttpFleetPeersOptions {
  /** Origins of the others that live, by name. */
  others: () => readonly { name: string; origin: string }[];
  ask: AskPeer;
  /** Null: it is not ours. */
  hold: () => FleetHold | null;
}

export function httpFleetPeers({ others, ask, hold }: HttpFleetPeersOptions): FleetPeers {
  const post = async (origin: string, path: string, body: string): Promise<PeerAnswer> => {
    const held = hold();
    if (held === null) throw new HeadroomError('UNAVAILABLE', 'the hold on the fleet has gone');
    const headers = { authorization: wordsOf(held), 'content-type': 'application/json' };
    const answer = await ask(origin, { method: 'POST', path, headers, body });
    if (answer.status !== 200) throw new HeadroomError('UNAVAILABLE', `${origin} answers ${answer.status} to ${path}`);
    return answer;
  };
  return () =>
    others().map(
      ({ name, origin }): FleetPeer => ({
        name,
        look: async (asked) => toldIn((await post(origin, SIGHT_PATH, askedText(asked))).body.toString()),
        build: async (host, frame) => void (await post(origin, BUILD_PATH, orderText({ host, frame }))),
      }),
    );
}
