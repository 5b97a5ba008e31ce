/**
 * A connection that carries whole messages. Adapters: WebSocket (client and server side), virtio-serial (length-prefixed
 * frames over a byte stream), simulated. Delivery is ordered while the connection lives; nothing is retried here.
 */
export interface Transport {
  /** For logs: `ws 127.0.0.1:41234`, `channel web-1`. */
  readonly peer: string;
  /** True when the peer is on this machine or a VM channel: what may speak without enrolment. */
  readonly local: boolean;
  /**
   * Hands one message over. Returns false when the outgoing buffer is above its high-water mark: stop until `onDrain`.
   * After close it returns false and does nothing.
   */
  send(message: Uint8Array): boolean;
  readonly bufferedBytes: number;
  onMessage(listener: (message: Uint8Array) => void): void;
  onDrain(listener: () => void): void;
  /** Called once, with the cause when it was not a clean close. */
  onClose(listener: (error?: Error) => void): void;
  close(reason: string): void;
}

/** Makes a new connection; rejects with CONNECTION_CLOSED or TIMEOUT. */
export type Connect = () => Promise<Transport>;
