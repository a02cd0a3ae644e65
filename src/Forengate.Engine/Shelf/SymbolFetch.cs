using Forengate.Guests;
using Forengate.Memory;
using Forengate.Symbols;
using Forengate.Windows;

namespace Forengate.Engine;

/// <summary>Gets the symbols of one kernel from symbol servers into the local store.</summary>
public static class SymbolFetch
{
    private const string KernelPdb = "ntkrnlmp.pdb";

    /// <summary>GUID in 32 digits, then the age.</summary>
    private const int GuidDigits = 32;

    /// <summary>No kernel has more.</summary>
    private const long MaxImageBytes = 256L << 20;

    /// <summary>Asks the servers that the options allow.</summary>
    /// <param name="what">A kernel's file (ntoskrnl.exe), GUID and age in hexadecimal, or a target whose kernel is meant: a guest is looked into while it runs.</param>
    /// <param name="options">Servers, store, proxy, and what is to be said of a target.</param>
    /// <param name="version">The kernel's file version, where the caller knows it; else null.</param>
    /// <param name="progress">Told what takes long.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <returns>What is now in the store.</returns>
    /// <exception cref="IOException">No server is allowed, none has the file, or it could not be had: the message says from where and why.</exception>
    public static AddedKernel Run(string what, TargetOptions options, Version? version, IProgress<JobProgress>? progress, CancellationToken cancellation)
    {
        if (options.SymbolServers.Count == 0)
            throw new IOException("no symbol server is allowed: say --symbol-server srv*https://msdl.microsoft.com/download/symbols, or your own");
        var store = new LocalStore(options.StoreFolder ?? throw new IOException("there is no local store: name its folder with --store"));
        using var servers = KnownProfiles.ServersOf(options, store, version, cancellation);
        progress?.Report(new JobProgress("asking symbol servers", 0, 0));
        if (GuidAge(what) is { } named)
            return Ask(servers, store, named);
        if (File.Exists(what) && CodeViewOf(what) is { } image)
            return Ask(servers, store, image);
        return AskFor(what, options, servers, store, progress, cancellation);
    }

    private static AddedKernel Ask(SymbolServers servers, LocalStore store, CodeViewRecord symbols) => servers.Find(symbols, out var tried) is { } profile
        ? Of(profile, tried, store)
        : throw new IOException($"nobody has {symbols.Name} {symbols.Key}: {tried}");

    private static AddedKernel AskFor(
        string target, TargetOptions options, SymbolServers servers, LocalStore store, IProgress<JobProgress>? progress, CancellationToken cancellation)
    {
        // A guest runs on while its symbols come.
        using var view = Examination.OpenView(target, options with { Consistency = CaptureChoice.Live }, CaptureMode.Live, progress, cancellation);
        var found = WindowsSystem.Find(view, ProfileStore.Carried.With(servers), cancellation);
        if (servers.Fetched is [var (profile, from), ..])
            return Of(profile, from, store);
        if (found.System is not { } system)
            throw new IOException(found.Reason ?? "no Windows found in this memory");
        return Ask(servers, store, system.Image.CodeView);
    }

    private static AddedKernel Of(KernelProfile profile, string from, LocalStore store) => new(
        from, profile.CodeView, profile.Version.Major == 0 ? null : profile.Version, Path.Combine(store.Folder, profile.CodeView.Key + LocalStore.Ending), "fetched");

    /// <summary>"BBED7C2955FBE4522AAA23F4B8677AD91", with dashes where people write them.</summary>
    private static CodeViewRecord? GuidAge(string word)
    {
        var digits = word.Replace("-", "", StringComparison.Ordinal).Trim('{', '}');
        return digits.Length is > GuidDigits and <= GuidDigits + 8 && digits.All(char.IsAsciiHexDigit)
            ? new CodeViewRecord(KernelPdb, Guid.ParseExact(digits[..GuidDigits], "N"), Convert.ToUInt32(digits[GuidDigits..], 16))
            : null;
    }

    private static CodeViewRecord? CodeViewOf(string path)
    {
        using (var file = File.OpenRead(path))
        {
            Span<byte> magic = stackalloc byte[2];
            if (file.Length > MaxImageBytes || file.ReadAtLeast(magic, magic.Length, throwOnEndOfStream: false) < magic.Length || !magic.SequenceEqual("MZ"u8))
                return null;
        }
        var bytes = File.ReadAllBytes(path);
        if (!PeImage.TryRead(new PlainBytes(bytes), out var image, out var reason) || !image.TryReadCodeView(new PeFileBytes(bytes, image), out var codeView, out reason))
            throw new IOException($"{path} names no symbols: {reason}");
        return codeView;
    }

    /// <summary>The headers of an image lie in its file as they do in memory.</summary>
    private sealed class PlainBytes(byte[] bytes) : IImageBytes
    {
        public bool TryRead(uint rva, Span<byte> destination)
        {
            if (rva > bytes.Length || destination.Length > bytes.Length - rva)
                return false;
            bytes.AsSpan((int)rva, destination.Length).CopyTo(destination);
            return true;
        }
    }
}
