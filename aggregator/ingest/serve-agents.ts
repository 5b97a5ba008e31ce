/**
 * Opens the door for agents: a WebSocket server on loopback (or a Unix socket), elsewhere over TLS, whose connections go to
 * ingest. Input: an address, a certificate. Output: a server to close.
 */
import { serveWebSocket, type TransportServer } from '../../shared/net/websocket.ts';
import { FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import type { Ingest } from './ingest.ts';

export interface ServeAgentsOptions {
  /** Default 127.0.0.1. */
  host?: string;
  /** 0 picks a free one. */
  port?: number;
  /** A Unix socket instead of host and port. */
  path?: string;
  /** Certificate and key, PEM. */
  tls?: { cert: string; key: string };
}

/** Rejects with UNAVAILABLE when the address cannot be listened on. */
export function serveAgents(ingest: Ingest, options: ServeAgentsOptions): Promise<TransportServer> {
  return serveWebSocket({ ...options, maxBytes: FRAME_BYTES_MAX }, (transport) => ingest.accept(transport));
}
