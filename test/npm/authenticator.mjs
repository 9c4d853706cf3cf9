// An authenticator app (RFC 6238), written from the text.
import { createHmac } from "node:crypto";

const base32 = (text) => Buffer.from(text.replace(/./g, (c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).match(/.{8}/g).map((b) => parseInt(b, 2)));

export const step = () => Math.floor(Date.now() / 30000);

export const totp = (secret, at) => {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(at));
  const mac = createHmac("sha1", base32(secret)).update(counter).digest();
  const value = mac.readUInt32BE(mac[19] & 15) & 0x7fffffff;
  return String(value % 1000000).padStart(6, "0");
};

// Codes are good once: next takes those of the step before, of this one and of the next, in turn; then it waits.
export class Authenticator {
  constructor(secret) {
    this.secret = secret;
    this.last = 0;
  }
  async next() {
    while (step() + 1 <= this.last) await new Promise((r) => setTimeout(r, 500));
    this.last = Math.max(this.last + 1, step() - 1);
    return totp(this.secret, this.last);
  }
}
