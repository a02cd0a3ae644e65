Console.Error.WriteLine("forengate: no command yet");
return 2;
