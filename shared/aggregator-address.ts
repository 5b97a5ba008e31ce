/** Where everybody looks for an aggregator unless told otherwise: agents, people and programs, on loopback. */
export const AGGREGATOR_PORT = 7400;
export const AGGREGATOR_AUTHORITY = `127.0.0.1:${AGGREGATOR_PORT}`;
