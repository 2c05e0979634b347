package float

import (
	"fmt"
	"math"

	"daulat/model/gguf"
)

// naive computes all logits in float64, position by position over the whole sequence, from the formulas.
func naive(f *gguf.File, s shape, tokens []uint32) [][]float64 {
	embedding := naiveMatrix(f, "token_embd.weight")
	output := embedding
	if _, ok := f.Tensor("output.weight"); ok {
		output = naiveMatrix(f, "output.weight")
	}
	x := make([][]float64, len(tokens))
	for i, t := range tokens {
		x[i] = append([]float64(nil), embedding[t]...)
	}
	for l := range s.layerCount {
		get := func(name string) [][]float64 { return naiveMatrix(f, fmt.Sprintf("blk.%d.%s.weight", l, name)) }
		h := naiveNorm(x, get("attn_norm")[0], s)
		q, k, v := naiveMul(get("attn_q"), h), naiveMul(get("attn_k"), h), naiveMul(get("attn_v"), h)
		naiveFamily(f, fmt.Sprintf("blk.%d.", l), q, k, v, s)
		naiveRope(f, q, s)
		naiveRope(f, k, s)
		naiveAdd(x, naiveMul(get("attn_output"), naiveAttention(q, k, v, s)))
		h = naiveNorm(x, get("ffn_norm")[0], s)
		gate, up := naiveMul(get("ffn_gate"), h), naiveMul(get("ffn_up"), h)
		for p := range gate {
			for i, g := range gate[p] {
				gate[p][i] = g / (1 + math.Exp(-g)) * up[p][i]
			}
		}
		naiveAdd(x, naiveMul(get("ffn_down"), gate))
	}
	return naiveMul(output, naiveNorm(x, naiveMatrix(f, "output_norm.weight")[0], s))
}

func naiveMatrix(f *gguf.File, name string) [][]float64 {
	t, _ := f.Tensor(name)
	rows := make([][]float64, t.Rows())
	buffer := make([]float32, t.Dims[0])
	for r := range rows {
		t.Dequantize(buffer, r)
		for _, x := range buffer {
			rows[r] = append(rows[r], float64(x))
		}
	}
	return rows
}

func naiveMul(w, x [][]float64) [][]float64 {
	out := make([][]float64, len(x))
	for p := range x {
		for _, row := range w {
			sum := 0.0
			for i := range row {
				sum += row[i] * x[p][i]
			}
			out[p] = append(out[p], sum)
		}
	}
	return out
}

func naiveNorm(x [][]float64, gain []float64, s shape) [][]float64 {
	out := make([][]float64, len(x))
	for p := range x {
		square := 0.0
		for _, v := range x[p] {
			square += v * v
		}
		for i, v := range x[p] {
			out[p] = append(out[p], v/math.Sqrt(square/float64(len(gain))+float64(s.epsilon))*gain[i])
		}
	}
	return out
}

func naiveAdd(x, y [][]float64) {
	for p := range x {
		for i := range x[p] {
			x[p][i] += y[p][i]
		}
	}
}

// naiveFamily adds biases and normalises heads where the file has tensors for it.
func naiveFamily(f *gguf.File, prefix string, q, k, v [][]float64, s shape) {
	for name, x := range map[string][][]float64{"attn_q": q, "attn_k": k, "attn_v": v} {
		if _, ok := f.Tensor(prefix + name + ".bias"); ok {
			bias := naiveMatrix(f, prefix+name+".bias")
			for p := range x {
				naiveAdd(x[p:p+1], bias)
			}
		}
		if _, ok := f.Tensor(prefix + name + "_norm.weight"); ok {
			gain := naiveMatrix(f, prefix+name+"_norm.weight")[0]
			for p := range x {
				for at := 0; at < len(x[p]); at += s.headDim {
					copy(x[p][at:], naiveNorm([][]float64{x[p][at : at+s.headDim]}, gain, s)[0])
				}
			}
		}
	}
}

func naiveRope(f *gguf.File, x [][]float64, s shape) {
	factors := make([]float64, s.ropeDims/2)
	for i := range factors {
		factors[i] = 1
	}
	if _, ok := f.Tensor("rope_freqs.weight"); ok {
		factors = naiveMatrix(f, "rope_freqs.weight")[0]
	}
	arch, _ := f.String("general.architecture")
	for p := range x {
		for head := 0; head < len(x[p]); head += s.headDim {
			for pair, factor := range factors {
				a, b := head+2*pair, head+2*pair+1
				if arch != "llama" {
					a, b = head+pair, head+pair+len(factors)
				}
				angle := float64(p) * math.Pow(float64(s.ropeBase), -float64(2*pair)/float64(s.ropeDims)) / factor
				x[p][a], x[p][b] = x[p][a]*math.Cos(angle)-x[p][b]*math.Sin(angle), x[p][a]*math.Sin(angle)+x[p][b]*math.Cos(angle)
			}
		}
	}
}

func naiveAttention(q, k, v [][]float64, s shape) [][]float64 {
	out := make([][]float64, len(q))
	for p := range q {
		out[p] = make([]float64, s.heads*s.headDim)
		for h := range s.heads {
			at, kv := h*s.headDim, h/(s.heads/s.kvHeads)*s.headDim
			weights, total := make([]float64, p+1), 0.0
			for t := range weights {
				score := 0.0
				for d := range s.headDim {
					score += q[p][at+d] * k[t][kv+d]
				}
				weights[t] = math.Exp(score / math.Sqrt(float64(s.headDim)))
				total += weights[t]
			}
			for t, w := range weights {
				for d := range s.headDim {
					out[p][at+d] += w / total * v[t][kv+d]
				}
			}
		}
	}
	return out
}
