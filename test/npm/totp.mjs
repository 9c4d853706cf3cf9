// An authenticator app: prints the six digits of a seed in base32 for a step of 30 seconds (RFC 6238, RFC 4226).
import { createHmac } from 'node:crypto'

const [seed, step] = process.argv.slice(2)
let bits = ''
for (const c of seed.replace(/=+$/, '')) bits += 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')
const secret = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)))
const counter = Buffer.alloc(8)
counter.writeBigUInt64BE(BigInt(step))
const mac = createHmac('sha1', secret).update(counter).digest()
const number = (mac.readUInt32BE(mac.at(-1) & 15) & 0x7fffffff) % 1e6
console.log(String(number).padStart(6, '0'))
