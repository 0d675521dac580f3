% Captures as GNU Octave 7.3.0 saves them (Debian package octave); the files next to this script are its output:
%     octave-cli make.m
% One synthetic record, rounded to a grid of 1/256, so that every file holds the same samples exactly.
n = 1600; Fs = 15.36e6; randn("seed", 1);
grid = @(z) round(256 * z) / 256;
x = grid(filter(ones(6, 1) / 3, 1, randn(n, 1) + 1i * randn(n, 1)));
y = grid(2 * x .* (1 - 0.02 * abs(x) .^ 2) + 0.02 * (randn(n, 1) + 1i * randn(n, 1)));
PA_Input = single(x); PA_Output = single(y);
save("-v4", "v4.mat", "PA_Input", "PA_Output", "Fs");
save("-v6", "v6.mat", "PA_Input", "PA_Output", "Fs");
save("-v7", "v7.mat", "PA_Input", "PA_Output", "Fs");
results.InputWaveform = single(x.'); results.OutputWaveform = single(y.'); results.note = "bench 3";
sampleRate = int32(Fs); names = {"a", "b"};
save("-v7", "struct.mat", "results", "sampleRate", "names");
I_in = single(real(x)); Q_in = single(imag(x)); I_out = single(real(y)); Q_out = single(imag(y));
save("-v7", "quadratures.mat", "I_in", "Q_in", "I_out", "Q_out");
first = single(x); second = single(y);
save("-v7", "unnamed.mat", "first", "second", "Fs");
inDataPA = x; outDataPA = y;
save("-hdf5", "capture.h5", "inDataPA", "outDataPA", "Fs");
file = fopen("complex.csv", "w"); fprintf(file, "input,output\n");
fprintf(file, "%.9g%+.9gi,%.9g%+.9gi\n", [real(x), imag(x), real(y), imag(y)].'); fclose(file);
table = [(0:n-1)' / Fs, real(x), imag(x), real(y), imag(y)];
dlmwrite("time.txt", table, "delimiter", "\t", "precision", "%.9g");
audiowrite("iq.wav", [real(x), imag(x)] / 16, 192000, "BitsPerSample", 24);
for name = {"I_in", "Q_in", "I_out", "Q_out"}
  column = double(eval(name{1})(1:1100)); save("-ascii", [name{1}, ".txt"], "column");
end
